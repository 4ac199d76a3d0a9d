"""The honest end of a study: its best configs are refitted with several seeds and tested once."""

DONE = "final/done"
"""What final runs report in place of an objective: the share of their epochs that is done."""
