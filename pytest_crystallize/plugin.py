"""Entry point of the pytest plugin: options, and nothing heavy."""
