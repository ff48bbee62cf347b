"""One model of what runs gave, and its formats."""
