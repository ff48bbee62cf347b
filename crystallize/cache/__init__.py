"""Stored results: what identifies them, keys, and bytes on disk."""
