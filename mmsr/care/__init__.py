"""Care of the home: removing and renaming, what is how large, whether everything works."""
