"""The screens of a study: the dry run, the live table, the leaderboard, the end."""
