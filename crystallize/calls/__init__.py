"""Calls of functions that answer from elsewhere, and the replies that are kept of them."""
