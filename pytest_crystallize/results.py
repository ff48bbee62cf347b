"""What the hooks of others are given."""

from pytest_crystallize.report.failures import Failure
from pytest_crystallize.report.model import ExperimentResults, Outcome, SessionResults, Used

__all__ = ["ExperimentResults", "Failure", "Outcome", "SessionResults", "Used"]
