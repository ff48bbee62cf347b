"""What code, values, files and machines are: digests that change with everything that a run would do."""
