"""What the hooks of others are given."""

from crystallize.seam import ExperimentResults, Failure, Outcome, SessionResults, Used

__all__ = ["ExperimentResults", "Failure", "Outcome", "SessionResults", "Used"]
