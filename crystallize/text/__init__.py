"""Numbers, names and texts of others as they are shown; keywords that are refused by a message."""
