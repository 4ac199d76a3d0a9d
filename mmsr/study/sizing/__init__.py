"""What one trial takes, and how many run at once."""
