"""From files and functions to experiments and their items."""
