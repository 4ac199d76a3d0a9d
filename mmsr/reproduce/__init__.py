"""The paper's tables, run again: rows as one study, tested once, compared over users."""
