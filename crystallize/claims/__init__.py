"""What a user claims, deciding nothing: hypotheses, tests, references, stopping rules."""
