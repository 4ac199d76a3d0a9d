"""What a study shows: the dry run, the live table, the leaderboard, the end."""
