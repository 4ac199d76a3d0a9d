"""Care of the home: `mmsr disk`, `mmsr doctor`, and how commands that remove things ask."""
