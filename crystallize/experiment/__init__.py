"""Experiments, graphs of them, searches, and what they gave."""
