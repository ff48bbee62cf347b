"""Stored results: keys, fingerprints, bytes on disk."""
