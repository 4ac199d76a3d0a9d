"""Studies and models side by side: settings, figures, and tests paired over users."""
