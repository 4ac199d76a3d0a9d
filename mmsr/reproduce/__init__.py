"""The paper's tables and figures, run again: rows as one study, tested once, compared by user."""
