"""One model of what a session gave, and the formats that are made of it; pure functions."""
