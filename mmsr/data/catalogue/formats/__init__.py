"""Published files as neutral tables: one module for each format, streamed line by line."""
