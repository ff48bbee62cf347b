"""What a session gave, put together from its records and reports, and as a terminal shows it."""
