"""Records of a session: shared between processes, stored, and made again."""
