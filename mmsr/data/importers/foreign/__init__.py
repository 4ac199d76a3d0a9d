"""What people already have: tables that are no single file in a format of mmsr's own."""
