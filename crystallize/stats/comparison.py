"""The form of a test of treatment minus baseline against a shift."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from crystallize.stats.result import Alternative, TestResult


class Comparison(Protocol):
    """A test of treatment minus baseline against a shift, such as `paired_t` or `mcnemar`.

    Examples
    --------
    >>> from crystallize.stats import beyond_margin, paired_t
    >>> before, after = [10.1, 9.8, 10.4, 10.0], [10.2, 9.8, 10.5, 9.9]
    >>> result = paired_t(before, after, shift=-0.3, alternative="greater")  # as any comparison is called
    >>> result.p_value < 0.05
    True
    """

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
