"""A claim on a sample: its test, and what becomes of the p-value once it is known what it counts against."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from crystallize.core.claim import Claim
from crystallize.core.decision import Decision, Status
from crystallize.core.sample import RESPLITS, ClaimSample
from crystallize.core.sensitivity import advice, sensitivity
from crystallize.core.stat_test import BoschlooTest, McNemarTest, ResampledTTest, StatisticalTest
from crystallize.errors import SampleError
from crystallize.stats import TestResult

_MOST_REPLICATES: Final = 10_000  # up to which it is worth saying how many replicates would do
_FEW: Final = 10  # replicates, below which a t test is worth a caveat


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcome of a claim's test on a sample.

    Attributes
    ----------
    claim, sample, test, result
        What was tested, on what, by what, and what came out.
    refutable : bool
        Whether an interval on the other side refutes the claim.
    planning_level : float
        The level at which a single true difference would have to be found.
    """

    claim: Claim
    sample: ClaimSample
    test: StatisticalTest
    result: TestResult
    refutable: bool
    planning_level: float
    growth: float = 1.0

    @property
    def p_value(self) -> float:
        """The p-value, in [0, 1]."""
        return float(self.result.p_value)

    def decide(self, level: float, *, adjusted_p: float | None = None) -> Decision:
        """Compare the p-value, or the adjusted one, with a level."""
        claim, result, n = self.claim, self.result, self.sample.n
        p_value = self.p_value if adjusted_p is None else adjusted_p
        low, high = map(float, result.interval)
        estimate, null = float(result.estimate), float(result.null)
        found = sensitivity(claim, self.test, self.sample, result, self.planning_level, growth=self.growth)
        status: Status = "inconclusive"
        reason = ""
        if p_value <= level and claim.supports(result):
            status = "supported"
        elif claim.contradicts((low, high), null) and self.refutable:
            status, reason = "refuted", self._refutation()
        elif claim.is_superiority and result.degenerate and estimate == null:
            reason = f"{claim.metric} never differs: the treatment changes nothing that it shows"
        else:
            reason = self._doubt(p_value, level, adjusted_p is not None) + advice(claim, self.sample, found)
        details: dict[str, Any] = {
            "p_value": self.p_value,
            **({} if adjusted_p is None else {"adjusted_p": adjusted_p}),
            "significant": p_value <= level,
            "accepted": status == "supported",
            "statistic": result.statistic,
            "df": result.df,
            "difference": estimate,
            "interval": (low, high),
            "n": n,
            "test": result.test,
            "alpha": claim.alpha,
        }
        return Decision(
            status=status,
            reason=reason,
            p_value=self.p_value,
            adjusted_p=adjusted_p,
            level=level,
            test=result.test,
            estimand="" if result.estimand in _DIFFERENCES else result.estimand,
            difference=estimate,
            interval=(low, high),
            confidence=result.confidence,
            detectable=None if found is None else found.detectable,
            degenerate=bool(result.degenerate),
            n=n,
            omitted=self.sample.omitted,
            population=self.sample.population,
            caveat=self._caveat(),
            details=details,
        )

    @property
    def shown(self) -> str:
        """The effect with its interval, in words."""
        result = self.result
        name = "difference" if result.estimand in _DIFFERENCES else result.estimand
        low, high = result.interval
        return f"{name} {result.estimate:.4g}, {percent(result.confidence)} interval [{low:.4g}, {high:.4g}]"

    def _refutation(self) -> str:
        claim = self.claim
        if claim.is_superiority:
            return f"{claim.metric} goes the other way: {self.shown}"
        return f"{claim.metric} changes by more than the margin {_margin(claim)}: {self.shown}"

    def _doubt(self, p_value: float, level: float, adjusted: bool) -> str:
        result, claim = self.result, self.claim
        low, high = result.interval
        if not claim.is_superiority:
            return f"{self.shown} reaches beyond the margin {_margin(claim)}; "
        if low > result.null or high < result.null:
            what = "adjusted p" if adjusted else "p"
            return f"{self.shown}, but {what} = {p_value:.3g} is above {level:.3g}; "
        return f"{self.shown}: the data allow either sign; "

    def _caveat(self) -> str:
        n = _size(self.result)
        if self.test.relies_on_normality and n < _FEW:
            return f"the {self.test.name} test on {n} relies on roughly normal values"
        return ""


_DIFFERENCES: Final = ("mean difference", "risk difference")


def _size(result: TestResult) -> int:
    return result.n if isinstance(result.n, int) else min(result.n)


def percent(level: float) -> str:
    """Return the level of an interval as text; that of an early look is not called 100 %."""
    return f"{100 * level:.4g} %" if level < 0.99995 else "more than 99.99 %"


def _margin(claim: Claim) -> str:
    assert claim.margin is not None
    return f"{100 * claim.margin:.4g} %" if claim.relative else f"{claim.margin:.4g}"


def tested(
    claim: Claim, sample: ClaimSample, *, level: float, planning_level: float, resampled: float | None
) -> Tested | Decision:
    """Test a claim on a sample; never raises, whatever a test of the user's does.

    Parameters
    ----------
    claim, sample
        What to test on what.
    level : float
        To which the interval belongs.
    planning_level : float
        Of a single claim, if all others of its family are false.
    resampled : float, optional
        Part of the data set that each replicate holds out, if replicates are resplits of it.

    Returns
    -------
    Tested or Decision
        The decision that there is none, where the sample can't be tested.
    """
    name = claim.test.name if claim.test is not None else "default"
    try:
        test = claim.chosen_test(sample, resampled)
        name = test.name
        if isinstance(test, ResampledTTest):
            sample = replace(sample, population=RESPLITS)
        fault = _unsuited(claim, test, sample) or _too_few(claim, test, sample, level, planning_level)
        if fault is not None:
            return Decision(status="invalid", reason=fault, test=name)
        result = claim.compare(test, sample, level)
        refutable = True
        if result.degenerate and claim.is_superiority:
            both = test.compare(sample.baseline, sample.treatment, alpha=level, alternative="two-sided")
            refutable = both.p_value <= level
        elif result.degenerate and result.interval[0] == result.interval[1]:
            # What equal signs alone are worth, as in the p-values of such samples.
            refutable = _floor(result) <= level
        return _checked(Tested(claim, sample, test, result, refutable, planning_level))
    except SampleError as error:
        return Decision(
            status="invalid", reason=f"the {name} test can't take this sample: {error}", test=name
        )
    except Exception as error:  # a test of the user's may raise anything, and return anything
        reason = f"the {name} test raised {type(error).__name__}: {error}"
        return Decision(status="invalid", reason=reason, test=name)


def _floor(result: TestResult) -> float:
    if isinstance(result.n, int):
        return 2.0**-result.n
    return 1 / math.comb(sum(result.n), min(result.n))


def _checked(outcome: Tested) -> Tested | Decision:
    result = outcome.result
    p_value, estimate = float(result.p_value), float(result.estimate)
    low, high = map(float, result.interval)
    if not 0 <= p_value <= 1 or any(map(math.isnan, (estimate, low, high))):
        return Decision(
            status="invalid",
            reason=f"the {result.test} test gave p = {p_value}, difference {estimate}, interval [{low}, "
            f"{high}]",
            test=result.test,
        )
    return outcome


def _unsuited(claim: Claim, test: StatisticalTest, sample: ClaimSample) -> str | None:
    """Say why a test can't take a sample of this form; None if it can."""
    if test.paired and not sample.paired:
        return (
            f"the {test.name} test needs pairs, and the conditions share no seeds; run both with the "
            "same root "
            "seed, or use WelchTTest()"
        )
    if claim.relative and claim.margin is not None and isinstance(test, McNemarTest | BoschlooTest):
        return f"metric {claim.metric!r} is 0 or 1, so its margin has to be absolute: give relative=False"
    return None


def _too_few(
    claim: Claim, test: StatisticalTest, sample: ClaimSample, level: float, planning_level: float
) -> str | None:
    """Say why this many replicates can't support the claim, whatever they gave; None if they can."""
    sizes = len(sample.baseline), len(sample.treatment)
    n = min(sizes)
    if n < test.minimum_n:
        return f"the {test.name} test needs at least {test.minimum_n} replicates, not {n}; run more"
    if not claim.is_superiority and isinstance(test, McNemarTest | BoschlooTest):
        return None  # score tests, which have no smallest p
    smallest = test.smallest_p(*sizes, claim.alternative_of_p)
    if smallest <= planning_level:
        return None
    more = range(n + 1, _MOST_REPLICATES)
    enough = next((m for m in more if test.smallest_p(m, m, claim.alternative_of_p) <= planning_level), None)
    reach = f"alpha = {claim.level:g}"
    if level < claim.level:
        reach = f"the level of the last look, {planning_level:.3g}"
    elif planning_level < level:
        reach += f" / {level / planning_level:.3g} claims"
    return (
        f"with {n} replicate{'s' if n > 1 else ''} the {test.name} test can't give a p-value below "
        f"{smallest:.2g}, so it can't reach {reach}"
        + (f"; run at least {enough} replicates" if enough else "")
    )
