"""The form of a test of treatment minus baseline against a shift."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from crystallize.stats.result import Alternative, TestResult


class Comparison(Protocol):
    """A test of treatment minus baseline against a shift, such as `paired_t` or `mcnemar`."""

    def __call__(
        self,
        baseline: ArrayLike,
        treatment: ArrayLike,
        /,
        *,
        alternative: Alternative,
        alpha: float,
        shift: float,
    ) -> TestResult:
        """Test treatment minus baseline against `shift`."""
