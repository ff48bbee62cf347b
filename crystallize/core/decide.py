"""From a sample to the verdict on a claim: its test, and what the p-value means against a level."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from crystallize.boundary import failure
from crystallize.core.claim import Claim
from crystallize.core.deterministic import compared_directly
from crystallize.core.formatting import compared, effect, interval, noise_scale, percent
from crystallize.core.hypothesis import Hypothesis, Sample
from crystallize.core.samples import RESPLITS, ClaimSample
from crystallize.core.sensitivity import advice, sensitivity
from crystallize.core.stat_test import (
    BoschlooTest,
    ClusteredTTest,
    McNemarTest,
    ResampledTTest,
    StatisticalTest,
    default_test,
)
from crystallize.core.verdict import Status, Verdict
from crystallize.core.verifying import answered
from crystallize.errors import SampleError
from crystallize.stats import (
    Guard,
    TestResult,
    equivalence,
    non_inferiority,
    relative_equivalence,
    relative_non_inferiority,
)
from crystallize.stats.undisturbed import undisturbed

_MOST_REPLICATES: Final = 10_000  # up to which it is worth saying how many replicates would do
_FEW: Final = 10  # replicates, below which a t test is worth a caveat


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcome of a claim's test on a sample.

    Attributes
    ----------
    hypothesis, sample, test, result
        What was tested, a claim, on what, by what, and what came out.
    refutable : bool
        Whether an interval on the other side refutes the claim.
    planning_level : float
        The level at which a single true difference would have to be found.
    growth : float
        How many times the sample is what is planned.
    """

    hypothesis: Hypothesis
    sample: ClaimSample
    test: StatisticalTest
    result: TestResult
    refutable: bool
    planning_level: float
    growth: float = 1.0

    @property
    def claim(self) -> Claim:
        """What is claimed."""
        return claim_of(self.hypothesis)

    @property
    def p_value(self) -> float:
        """The p-value, in [0, 1]."""
        return float(self.result.p_value)

    def verdict(self, level: float, *, adjusted_p: float | None = None) -> Verdict:
        """Compare the p-value, or the adjusted one, with a level."""
        with self.hypothesis.seeded():
            return self._verdict(level, adjusted_p)

    def _verdict(self, level: float, adjusted_p: float | None) -> Verdict:
        claim, result, n = self.claim, self.result, self.sample.n
        p_value = self.p_value if adjusted_p is None else adjusted_p
        low, high = map(float, result.interval)
        estimate, null = float(result.estimate), float(result.null)
        found = sensitivity(claim, self.test, self.sample, result, self.planning_level, growth=self.growth)
        status: Status = "inconclusive"
        reason = ""
        if p_value <= level and self._is_claimed():
            status = "supported"
        elif self._lies_beyond() and self.refutable:
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
        return Verdict(
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

    def _is_claimed(self) -> bool:
        """Tell whether the estimate lies where the claim is, apart from significance."""
        result = self.result
        return {
            "increase": result.estimate > result.null,
            "decrease": result.estimate < result.null,
        }.get(self.claim.direction, True)  # of others the p-value says it

    def _lies_beyond(self) -> bool:
        """Tell whether the interval lies wholly where the claim is false."""
        claim, (low, high), null = self.claim, self.result.interval, self.result.null
        if claim.direction == "equal":
            assert claim.margin is not None
            return low > claim.margin or high < -claim.margin
        return {"greater": high < null, "less": low > null, "two-sided": False}[claim.claimed]

    @property
    def shown(self) -> str:
        """The effect with its interval, in words."""
        result = self.result
        name = "difference" if result.estimand in _DIFFERENCES else result.estimand
        relative = self.claim.has_relative_margin
        means = [sum(values) / len(values) for values in (self.sample.baseline, self.sample.treatment)]
        scale = noise_scale(result.interval, means if name == "difference" else (), relative=relative)
        estimate = effect(float(result.estimate), relative=relative, sign=False, scale=scale)
        ends = interval(result.interval, relative=relative, digits=4, scale=scale)
        return f"{name} {estimate}, {percent(result.confidence)} interval {ends}"

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
            shown, limit = compared(p_value, level, digits=3)
            return f"{self.shown}, but {what} = {shown} is above {limit}; "
        return f"{self.shown}: the data allow either sign; "

    def _caveat(self) -> str:
        n = _size(self.result)
        if self.test.relies_on_normality and n < _FEW:
            return f"the {self.test.name} test on {n} relies on roughly normal values"
        return ""


_DIFFERENCES: Final = ("mean difference", "risk difference")


def _size(result: TestResult) -> int:
    return result.n if isinstance(result.n, int) else min(result.n)


def _margin(claim: Claim) -> str:
    assert claim.margin is not None
    return effect(claim.margin, relative=claim.relative, sign=False)


def tested(
    hypothesis: Hypothesis,
    sample: ClaimSample,
    *,
    level: float,
    planning_level: float,
    resampled: float | None,
) -> Tested | Verdict:
    """Test a claim on a sample; never raises, whatever a test of the user's does.

    Parameters
    ----------
    hypothesis, sample
        What to test on what.
    level : float
        To which the interval belongs.
    planning_level : float
        Of a single claim, if all others of its family are false.
    resampled : float, optional
        Part of the data set that each replicate holds out, if replicates are resplits of it.

    Returns
    -------
    Tested or Verdict
        The verdict, where the sample can't be tested.
    """
    with hypothesis.seeded():
        return _tested(hypothesis, sample, level, planning_level, resampled)


def _tested(
    hypothesis: Hypothesis,
    sample: ClaimSample,
    level: float,
    planning_level: float,
    resampled: float | None,
) -> Tested | Verdict:
    claim = claim_of(hypothesis)
    name = "default"
    try:
        if claim.test is not None:
            name = claim.test.name
        test = _chosen_test(claim, sample, resampled)
        name = test.name
        if isinstance(test, ResampledTTest) and sample.paired:
            sample = replace(sample, population=RESPLITS)
        fault = _unsuited(claim, test, sample) or _too_few(claim, test, sample, level, planning_level)
        if fault is not None:
            return Verdict.invalid(fault, test=name)
        result = _compared(claim, test, sample, level)
        refutable = True
        if result.degenerate and claim.is_superiority:
            both = test.compare(sample.baseline, sample.treatment, alpha=level, alternative="two-sided")
            refutable = both.p_value <= level
        elif result.degenerate and result.interval[0] == result.interval[1]:
            # What equal signs alone are worth, as in the p-values of such samples.
            refutable = _floor(result) <= level
        return _checked(Tested(hypothesis, sample, test, result, refutable, planning_level))
    except SampleError as error:
        return Verdict.invalid(f"the {name} test can't take this sample: {error}", test=name)
    except BaseException as error:  # a test of the user's may raise anything, and return anything
        reason = f"the {name} test raised {failure(error)}"
        return Verdict.invalid(reason, test=name)


def _chosen_test(claim: Claim, sample: ClaimSample, resampled: float | None) -> StatisticalTest:
    """Return the test of a sample: the one that is named, or the default."""
    if claim.test is not None:
        return claim.test
    if resampled is not None:
        return ResampledTTest(test_fraction=resampled)
    return default_test(sample.baseline, sample.treatment, paired=sample.paired, kind=claim.kind)


def _compared(claim: Claim, test: StatisticalTest, sample: ClaimSample, level: float) -> TestResult:
    """Test a sample; the interval belongs to a test at `level`.

    Raises
    ------
    SampleError
        If the test can't take it; a test of the user's may raise anything.
    """
    compare: Any = test.compare
    if isinstance(test, ClusteredTTest) and sample.units is not None:
        units = sample.units

        def compare(*args: Any, **options: Any) -> TestResult:
            return test.compare(*args, units=units, **options)

    arms = sample.baseline, sample.treatment
    if claim.is_superiority:
        return compare(*arms, alpha=level, alternative=claim.alternative_of_p)  # type: ignore[no-any-return]
    assert claim.margin is not None
    if claim.direction == "equal":
        tost = relative_equivalence if claim.has_relative_margin else equivalence
        return tost(compare, *arms, margin=claim.margin, alpha=level)
    guard: Guard = claim.direction  # type: ignore[assignment]
    one_sided = relative_non_inferiority if claim.has_relative_margin else non_inferiority
    return one_sided(compare, *arms, margin=claim.margin, guard=guard, alpha=level)


def _floor(result: TestResult) -> float:
    if isinstance(result.n, int):
        return 2.0**-result.n
    return 1 / math.comb(sum(result.n), min(result.n))


def _checked(outcome: Tested) -> Tested | Verdict:
    result = outcome.result
    p_value, estimate = float(result.p_value), float(result.estimate)
    low, high = map(float, result.interval)
    if not 0 <= p_value <= 1 or any(map(math.isnan, (estimate, low, high))):
        return Verdict.invalid(
            f"the {result.test} test gave p = {p_value}, difference {estimate}, interval [{low}, {high}]",
            test=result.test,
        )
    return outcome


def _unsuited(claim: Claim, test: StatisticalTest, sample: ClaimSample) -> str | None:
    """Say why a test can't take a sample of this form; None if it can."""
    if test.paired and not sample.paired:
        return f"the {test.name} test needs pairs, and {sample.why_unpaired}, or use WelchTTest()"
    if claim.has_relative_margin and isinstance(test, McNemarTest | BoschlooTest):
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


def claim_of(hypothesis: Hypothesis) -> Claim:
    """Return the claim of a hypothesis that is one."""
    assert hypothesis.claim is not None
    return hypothesis.claim


@undisturbed()
def verdict_on(hypothesis: Hypothesis, baseline: Sample, treatment: Sample) -> Verdict:
    """Decide a hypothesis that stands alone on complete samples; never raises for what a verifier does.

    The same samples give the same verdict: the global generators, from which a verifier may draw, are seeded
    alike each time and put back afterwards.
    """
    claim = hypothesis.claim
    if claim is None:
        return answered(hypothesis, baseline, treatment)
    sample = ClaimSample(baseline[claim.metric], treatment[claim.metric], claim.pairing != "none")
    if claim.deterministic:
        return compared_directly(claim, sample, ("baseline", "treatment"))
    outcome = tested(hypothesis, sample, level=claim.level, planning_level=claim.level, resampled=None)
    return outcome if isinstance(outcome, Verdict) else outcome.verdict(claim.level)
