"""From records to verdicts: pure, whoever made the records."""
