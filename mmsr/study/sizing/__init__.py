"""How much one trial needs, and how many trials run at once."""
