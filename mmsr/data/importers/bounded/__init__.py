"""Working on tables that are larger than memory: in parts, in files, and by DuckDB."""
