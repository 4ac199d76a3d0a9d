"""From the tables that people bring to a prepared data set."""
