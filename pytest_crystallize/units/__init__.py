"""Units of work under pytest: of marked functions, and of experiments that a factory returned."""
