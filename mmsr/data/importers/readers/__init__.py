"""Reading the files of tables: each format in its way, all to the same plain columns."""
