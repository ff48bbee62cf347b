"""What a stored result must prove before it is used: identity, and safe storage."""
