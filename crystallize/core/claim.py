"""Claims about the mean of a metric, decided by a statistical test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from crystallize.core.decision import Decision, Status
from crystallize.core.stat_test import StatisticalTest, default_test
from crystallize.errors import DefinitionError
from crystallize.stats import Alternative, TestResult

Direction = Literal["increase", "decrease", "differ"]

_ALTERNATIVES: Final[dict[Direction, Alternative]] = {
    "increase": "greater",
    "decrease": "less",
    "differ": "two-sided",
}
_MOST_REPLICATES: Final = 10_000  # up to which it is worth saying how many replicates would do


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim about the mean of one metric, decided by a statistical test.

    Supported if p <= alpha and the difference has the claimed sign; refuted if the confidence interval lies
    wholly on the other side (of a sample without variance, whose interval is a point, if the two-sided p
    says so too); else inconclusive.
    """

    metric: str
    direction: Direction
    test: StatisticalTest | None
    alpha: float
    alternative: Literal["two-sided", "one-sided"]

    def decide(self, baseline: Sequence[float], treatment: Sequence[float]) -> Decision:
        """Test two complete samples of finite numbers, paired by replicate; never raises."""
        name = self.test.name if self.test is not None else "default"
        try:
            test = self.test or default_test(baseline, treatment, paired=True)
            name = test.name
            reason = self._too_few(test, len(baseline))
            if reason is not None:
                return Decision("invalid", reason, test=name)
            result = test.compare(baseline, treatment, alpha=self.alpha, alternative=self.side)
            refutable = True
            if result.degenerate:
                both = test.compare(baseline, treatment, alpha=self.alpha, alternative="two-sided")
                refutable = both.p_value <= self.alpha
            return self._read(result, len(baseline), refutable=refutable)
        except Exception as error:  # a test of the user's may raise anything, and return anything
            return Decision("invalid", f"the {name} test raised {type(error).__name__}: {error}", test=name)

    @property
    def side(self) -> Alternative:
        """What the test is asked about treatment minus baseline."""
        return _ALTERNATIVES[self.direction] if self.alternative == "one-sided" else "two-sided"

    def _too_few(self, test: StatisticalTest, n: int) -> str | None:
        """Say why n replicates can't support the claim, whatever they gave; None if they can."""
        if n < test.minimum_n:
            return f"the {test.name} test needs at least {test.minimum_n} replicates, not {n}; run more"
        smallest = test.smallest_p(n, n, self.side)
        if smallest <= self.alpha:
            return None
        sizes = range(n + 1, _MOST_REPLICATES)
        enough = next((m for m in sizes if test.smallest_p(m, m, self.side) <= self.alpha), None)
        return (
            f"with {n} replicates the {test.name} test can't give a p-value below {smallest:.2g}, so it "
            f"can't reach alpha = {self.alpha:g}" + (f"; run at least {enough} replicates" if enough else "")
        )

    def _read(self, result: TestResult, n: int, *, refutable: bool) -> Decision:
        p_value, difference = float(result.p_value), float(result.estimate)
        low, high = map(float, result.interval)
        if not 0 <= p_value <= 1 or math.isnan(difference) or math.isnan(low) or math.isnan(high):
            return Decision(
                "invalid",
                f"the {result.test} test gave p = {p_value}, difference {difference}, "
                f"interval [{low}, {high}]",
                test=result.test,
            )
        null = result.null
        above, below = difference > null, difference < null
        claimed = {"increase": above, "decrease": below, "differ": True}[self.direction]
        opposite = {"increase": high < null, "decrease": low > null, "differ": False}[self.direction]
        shown = f"difference {difference:.4g}, {100 * result.confidence:g} % interval [{low:.4g}, {high:.4g}]"
        status: Status = "inconclusive"
        if p_value <= self.alpha and claimed:
            status, reason = "supported", ""
        elif opposite and refutable:
            status, reason = "refuted", f"{self.metric} goes the other way: {shown}"
        elif low > null or high < null:
            reason = f"{shown}, but p = {p_value:.3g} is above {self.alpha:g}"
        else:
            reason = f"{shown}: the data allow either sign"
        details: dict[str, Any] = {
            "p_value": p_value,
            "significant": p_value <= self.alpha,
            "accepted": status == "supported",
            "statistic": result.statistic,
            "df": result.df,
            "difference": difference,
            "interval": (low, high),
            "n": n,
            "test": result.test,
            "alpha": self.alpha,
        }
        return Decision(
            status, reason, p_value, result.test, difference, (low, high), bool(result.degenerate), details
        )


def claim(
    metric: str,
    direction: Direction | None,
    statistical_test: StatisticalTest | Literal["auto"],
    alpha: float | None,
    alternative: Literal["two-sided", "one-sided"],
) -> Claim:
    """Check the parts of a claim, as a `Hypothesis` is given them, and put them together."""
    about = f"the claim about {metric!r}"
    if not isinstance(metric, str) or not metric:
        raise DefinitionError(f"metric is {metric!r}; give the name of one metric")
    if direction not in _ALTERNATIVES:
        raise DefinitionError(
            f"{about} has direction={direction!r}; allowed are 'increase', 'decrease', 'differ'"
        )
    if statistical_test != "auto" and not isinstance(statistical_test, StatisticalTest):
        raise DefinitionError(
            f"{about} has statistical_test={statistical_test!r}; give 'auto' or an instance such as "
            "WelchTTest()"
        )
    level = 0.05 if alpha is None else alpha
    if not isinstance(level, float | int) or isinstance(level, bool) or not 0 < level < 1:
        raise DefinitionError(f"{about} has alpha={alpha!r}; a significance level lies between 0 and 1")
    if alternative not in ("two-sided", "one-sided"):
        raise DefinitionError(
            f"{about} has alternative={alternative!r}; allowed are 'two-sided', 'one-sided'"
        )
    if alternative == "one-sided" and direction == "differ":
        raise DefinitionError(
            f"{about} is that it differs, which has no side; claim an increase or a decrease"
        )
    test = None if isinstance(statistical_test, str) else statistical_test
    return Claim(metric, direction, test, float(level), alternative)
