"""What a session and its marks ask for: command line, ini file, switches, keywords."""
