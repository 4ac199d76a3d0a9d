"""The honest end of a study: its best configs refitted with several seeds and tested once."""

DONE = "final/done"
"""What the runs of finals report in place of an objective: the share of their epochs."""
