"""The sections of a report: on the scores, the settings, the winner, and the run itself."""
