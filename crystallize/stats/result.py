"""What a statistical test returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Alternative = Literal["two-sided", "greater", "less"]
"""The claim about treatment minus baseline against the shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """Outcome of one test of treatment against baseline.

    Attributes
    ----------
    test : str
        Display name, such as ``"paired t"``.
    p_value : float
        Probability in [0, 1] under the null hypothesis; never nan.
    statistic : float
        Value of the test statistic; infinite where differences do not vary.
    df : float or None
        Degrees of freedom, where the reference distribution has them.
    estimate : float
        What `estimand` names. A difference is treatment minus baseline in the units of the data, and the
        shift is not subtracted.
    interval : tuple of float
        Two-sided interval (low, high) of the estimate at level `confidence`, whatever the alternative.
    confidence : float
        Level of the interval, 1 - alpha.
    n : int or tuple of int
        Number of pairs, or the sizes (baseline, treatment) of independent samples.
    alternative : {"two-sided", "greater", "less"}
        The alternative that `p_value` speaks of.
    estimand : str
        What is estimated: ``"mean difference"``, ``"risk difference"``, or what the test documents.
    null : float
        Value of the estimand under the null hypothesis: the shift, unless the test documents another. An
        estimate above it speaks for "greater".
    sign : float or None
        Positive if the statistic speaks for "greater", negative if for "less", where it may differ from the
        sign of the estimate against `null`: a median can be 0 where ranks are not balanced.
    origin : float
        Value of the estimand where both arms are alike: 0, but of a win rate 1/2.
    degenerate : bool
        True if the data do not vary, so that the usual reference distribution says nothing.

    Examples
    --------
    >>> from crystallize.stats import paired_t
    >>> result = paired_t([10.1, 9.8, 10.4, 10.0], [10.9, 10.3, 11.4, 10.6])
    >>> result.test, result.n, round(result.estimate, 3), round(result.p_value, 4)
    ('paired t', 4, 0.725, 0.0073)
    >>> [round(bound, 2) for bound in result.interval]
    [0.37, 1.08]
    """

    __test__: ClassVar[bool] = False  # its name begins with Test, but pytest has nothing to collect here

    test: str
    p_value: float
    statistic: float
    df: float | None
    estimate: float
    interval: tuple[float, float]
    confidence: float
    n: int | tuple[int, int]
    alternative: Alternative
    estimand: str = "mean difference"
    null: float = 0.0
    sign: float | None = None
    origin: float = 0.0
    degenerate: bool = False

    @property
    def side(self) -> float:
        """Positive if the data speak for "greater", negative if for "less"."""
        return self.estimate - self.null if self.sign is None else self.sign
