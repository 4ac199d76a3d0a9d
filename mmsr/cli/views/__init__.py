"""What the commands of data sets and models show, and the progress of long work."""
