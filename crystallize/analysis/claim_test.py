"""A claim's test on a sample: which test, what comes out, and what would come out of its opposite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from crystallize.analysis.columns import mean
from crystallize.analysis.sample import RESPLITS, ClaimSample
from crystallize.analysis.verdict import Verdict
from crystallize.boundary import failure
from crystallize.claims.claim import Claim
from crystallize.claims.default_test import default_test
from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_of_means import ResampledTTest
from crystallize.claims.tests_of_rates import BinomialTest
from crystallize.claims.tests_of_scores import AdjustedTest, RatioTest
from crystallize.claims.tests_of_units import CrossedTTest
from crystallize.errors import SampleError
from crystallize.stats import (
    Alternative,
    Guard,
    TestResult,
    beyond_margin,
    equivalence,
    non_inferiority,
    relative_equivalence,
    relative_non_inferiority,
    relative_superiority,
)
from crystallize.text.formatting import compared

_MOST_REPLICATES: Final = 10_000  # up to which it is worth saying how many replicates would do


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a claim's test on a sample.

    Attributes
    ----------
    claim, sample, test
        What was tested on what, by what.
    level : float
        The interval of `result` belongs to a test at this level.
    result : TestResult
        What came out.
    mirror_p : float
        The p-value of the opposite claim: that the treatment does harm, or more than a margin allows. Of a
        claim with a sign whose p-value is two-sided it is the same one.
    at_level : callable
        Returns the result with the interval that belongs to another level.
    saved : float or None
        Part of the variance that a covariate saves, if there is one.
    """

    claim: Claim
    sample: ClaimSample
    test: StatisticalTest
    level: float
    result: TestResult
    mirror_p: float
    at_level: Callable[[float], TestResult]
    saved: float | None = None

    @property
    def is_default(self) -> bool:
        """Whether the design has chosen the test, and replicates that share no data are what it counts."""
        return self.claim.test is None and self.sample.population != RESPLITS

    @property
    def p_value(self) -> float:
        """The p-value, in [0, 1]."""
        return float(self.result.p_value)

    @property
    def one_sided_p(self) -> float:
        """The p-value on the claim's side alone: near 1 where the sign is wrong."""
        if self.claim.alternative_of_p != "two-sided" or self.claim.direction == "differ":
            return self.p_value
        return self.p_value / 2 if self.is_claimed else 1 - self.p_value / 2

    @property
    def is_claimed(self) -> bool:
        """Whether the data lie where the claim is, apart from significance."""
        result, direction, size = self.result, self.claim.direction, self.claim.size
        beyond = result.estimate - result.origin
        if direction == "differ":  # the p-value says it
            return True
        if size is None:
            side = result.side
        elif direction == "equal":
            return abs(beyond) < size
        else:
            limit = -size if direction in ("no_decrease", "decrease") else size
            side = beyond - limit if result.sign is None else result.sign
        return side > 0 if self.claim.claimed == "greater" else side < 0

    @property
    def is_opposed(self) -> bool:
        """Whether the data lie where the opposite of the claim is, apart from significance."""
        side = self.result.side
        opposed = {"increase": side < 0, "decrease": side > 0, "differ": False}
        return opposed.get(self.claim.direction, self.mirror_p < 1)

    @property
    def n(self) -> int:
        """Number of pairs, of units, or of values of the smaller arm."""
        n = self.result.n
        return n if isinstance(n, int) else min(n)


def tested(
    claim: Claim,
    sample: ClaimSample,
    *,
    level: float,
    planning_level: float,
    resampled: float | None,
) -> Outcome | Verdict:
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
    Outcome or Verdict
        The verdict, where the sample can't be tested.
    """
    name = "default"
    try:
        if claim.test is not None:
            name = claim.test.name
        test, sample = suited(claim, sample, resampled)
        name = test.name
        fault = _unsuited(claim, test, sample) or _too_few(claim, test, sample, level, planning_level)
        if fault is not None:
            return Verdict.invalid(fault, test=name)

        layout = _layout(claim, sample, resampled)
        compare = test.bound(layout)

        def at_level(level: float) -> TestResult:
            return _compared(claim, test, compare, sample, level)

        result = at_level(level)
        if (fault := _no_result(result)) is not None:
            return Verdict.invalid(fault, test=result.test)
        mirror_p = _mirror_p(claim, test, compare, sample, result, level)
        saved = test.saved(sample.baseline, sample.treatment, layout)
        return Outcome(claim, sample, test, level, result, mirror_p, at_level, saved)
    except SampleError as error:
        return Verdict.invalid(f"the {name} test can't take this sample: {error}", test=name)
    except BaseException as error:  # a test of the user's may raise anything, and return anything
        return Verdict.invalid(f"the {name} test raised {failure(error)}", test=name)


def measured(
    claim: Claim, sample: ClaimSample, level: float, resampled: float | None
) -> tuple[StatisticalTest, ClaimSample, TestResult]:
    """Return the test of a sample, the sample as it takes it, and what came out; however small it is.

    Raises
    ------
    SampleError
        If the test can't take it; a test of the user's may raise anything.
    """
    test, sample = suited(claim, sample, resampled)
    if (fault := _unsuited(claim, test, sample)) is not None:
        raise SampleError(fault)
    compare = test.bound(_layout(claim, sample, resampled))
    return test, sample, _compared(claim, test, compare, sample, level)


def suited(claim: Claim, sample: ClaimSample, resampled: float | None) -> tuple[StatisticalTest, ClaimSample]:
    """Return the test of a sample, and the sample with what a verdict on it speaks of."""
    test = chosen_test(claim, sample, resampled)
    if sample.paired and (isinstance(test, ResampledTTest) or (resampled and test.follows_design)):
        sample = replace(sample, population=RESPLITS)
    if type(test).__module__.partition(".")[0] != __name__.partition(".")[0]:
        # What a test of the user's changes in place is its own.
        sample = replace(sample, baseline=list(sample.baseline), treatment=list(sample.treatment))
    return test, sample


def _layout(claim: Claim, sample: ClaimSample, resampled: float | None) -> Layout:
    """Return how the values of a sample belong together."""
    return Layout(
        sample.paired, sample.units, sample.replicates, resampled, sample.number, claim.has_relative_size
    )


def reads_as_yes_or_no(claim: Claim, sample: ClaimSample) -> bool:
    """Return whether a metric whose kind nobody declares counts as yes/no: every value there is is 0 or 1.

    A margin that is relative, or 1 and more, is none of a rate, nor is a number beyond 0 and 1.
    """
    if claim.test is not None or claim.kind != "auto" or not sample.is_binary:
        return False
    if sample.number is not None and not 0 <= sample.number <= 1:
        return False
    return claim.size is None or (not claim.relative and claim.size < 1)


def chosen_test(claim: Claim, sample: ClaimSample, resampled: float | None) -> StatisticalTest:
    """Return the test of a sample: the one that is named, or the default."""
    if claim.test is not None:
        return claim.test
    if sample.beside is not None:
        return RatioTest(sample.beside) if claim.per is not None else AdjustedTest(sample.beside)
    if sample.replicates is not None:
        return CrossedTTest()
    if resampled is not None:
        return ResampledTTest(test_fraction=resampled)
    binary = claim.kind == "binary" or reads_as_yes_or_no(claim, sample)
    if binary and sample.number is not None:
        return BinomialTest(sample.number)
    kind = "binary" if binary else "numeric"
    return default_test(sample.baseline, sample.treatment, paired=sample.paired, kind=kind)


def _compared(
    claim: Claim, test: StatisticalTest, compare: Any, sample: ClaimSample, level: float
) -> TestResult:
    """Test a sample; the interval belongs to a test at `level`.

    Raises
    ------
    SampleError
        If the test can't take it; a test of the user's may raise anything.
    """
    arms = sample.baseline, sample.treatment
    divides = _divides(claim, test)
    if claim.is_superiority:
        # The interval of a one-sided claim excludes the null hypothesis where its p-value does.
        one_sided = claim.alternative == "one-sided" and level < 0.5
        width = 2 * level if one_sided else level
        return _beyond(claim, test, compare, sample, width, claim.alternative_of_p)
    assert claim.size is not None
    if claim.direction == "equal":
        tost = relative_equivalence if divides else equivalence
        result = tost(compare, *arms, margin=claim.size, alpha=level)
    else:
        guard: Guard = claim.direction  # type: ignore[assignment]
        one_sided_test = relative_non_inferiority if divides else non_inferiority
        result = one_sided_test(compare, *arms, margin=claim.size, guard=guard, alpha=level)
    return of_equal_differences(claim, test, sample, result)


def _divides(claim: Claim, test: StatisticalTest) -> bool:
    """Return whether relative sizes are tested by multiples of the baseline: the test itself does not."""
    return claim.has_relative_size and not claim.is_ratio and not test.divides_itself


def _beyond(
    claim: Claim,
    test: StatisticalTest,
    compare: Any,
    sample: ClaimSample,
    alpha: float,
    alternative: Alternative,
) -> TestResult:
    """Test a difference against what a claim with a sign has to exceed: 0, or `at_least`."""
    arms = sample.baseline, sample.treatment
    options: dict[str, Any] = {"alpha": alpha, "alternative": alternative}
    if _divides(claim, test):
        return relative_superiority(compare, *arms, change=claim.shift, **options)
    return compare(*arms, **options, shift=claim.shift)  # type: ignore[no-any-return]


def of_equal_differences(
    claim: Claim, test: StatisticalTest, sample: ClaimSample, result: TestResult
) -> TestResult:
    """Return a margin claim's result with what equal differences are worth as its p-value.

    That n of n replicates lie within the margin has probability 2^(-n) if half of them did not. Where a loss
    can't exceed L, a mean loss at the margin needs losses in a part of at least margin/L of the replicates:
    that n of n show none has probability (1 - margin/L)^n.
    """
    if not result.degenerate or test.of_rates or result.p_value >= 1:
        return result
    n, _ = sample.counted
    p_value = 2.0**-n if isinstance(test, ResampledTTest) else result.p_value
    if (largest := largest_loss(claim, sample)) is not None:
        distance = abs(result.estimate - result.null)
        if claim.relative:
            distance *= abs(mean(sample.baseline))
        part = 1.0 if distance >= largest else distance / largest
        p_value = max(p_value, (1 - part) ** n)
    return replace(result, p_value=p_value)


def largest_loss(claim: Claim, sample: ClaimSample) -> float | None:
    """Return the largest loss that a replicate can have, if it is known."""
    if claim.worst is None:
        return 1.0 if sample.of_rates else None
    return max(abs(value - claim.worst) for value in sample.baseline)


def _mirror_p(
    claim: Claim,
    test: StatisticalTest,
    compare: Any,
    sample: ClaimSample,
    result: TestResult,
    level: float,
) -> float:
    """Return the p-value of the opposite of a claim; 1 where the data do not speak for it at all."""
    arms = sample.baseline, sample.treatment
    opposite: Alternative = "less" if claim.claimed == "greater" else "greater"
    if claim.is_superiority:
        if claim.direction == "differ":
            return 1.0
        if claim.alternative == "two-sided":
            return float(result.p_value)
        side = result.side if opposite == "greater" else -result.side
        return float(_beyond(claim, test, compare, sample, level, opposite).p_value) if side > 0 else 1.0
    if claim.detects is not None:  # harm of any size
        harm = compare(*arms, alpha=level, alternative=opposite, shift=0.0)
        shown = harm.side < 0 if opposite == "less" else harm.side > 0
        return float(harm.p_value) if shown else 1.0
    assert claim.margin is not None
    estimate = result.estimate - result.origin
    beyond = {
        "no_decrease": estimate < -claim.margin,
        "no_increase": estimate > claim.margin,
        "equal": abs(estimate) > claim.margin,
    }[claim.direction]
    if not beyond:
        return 1.0
    guard: Guard | None = None if claim.direction == "equal" else claim.direction  # type: ignore[assignment]
    margin, relative = claim.margin, _divides(claim, test)
    return beyond_margin(compare, *arms, margin=margin, guard=guard, relative=relative, alpha=level)


def _no_result(result: TestResult) -> str | None:
    """Say why a result of a test is none; None if it is one."""
    p_value, estimate = float(result.p_value), float(result.estimate)
    low, high = map(float, result.interval)
    if 0 <= p_value <= 1 and not any(map(math.isnan, (estimate, low, high))):
        return None
    return f"the {result.test} test gave p = {p_value}, difference {estimate}, interval [{low}, {high}]"


def _unsuited(claim: Claim, test: StatisticalTest, sample: ClaimSample) -> str | None:
    """Say why a test can't take a sample of this form; None if it can."""
    if test.paired and not sample.paired:
        return f"the {test.name} test needs pairs, and {sample.why_unpaired}, or use WelchTTest()"
    if claim.worst is not None and claim.direction != "equal":
        seen = (*sample.baseline, *sample.treatment)
        worst = min(seen) if claim.direction == "no_decrease" else max(seen)
        if worst < claim.worst if claim.direction == "no_decrease" else worst > claim.worst:
            return (
                f"metric {claim.metric!r} is {worst:g} somewhere, which is worse than worst={claim.worst:g}"
            )
    return None


def _too_few(
    claim: Claim, test: StatisticalTest, sample: ClaimSample, level: float, planning_level: float
) -> str | None:
    """Say why this many replicates can't support the claim, whatever they gave; None if they can."""
    sizes = len(sample.baseline), len(sample.treatment)
    n = min(sizes)
    _, what = sample.counted
    if n < test.minimum_n:
        return f"the {test.name} test needs at least {test.minimum_n} {what}, not {n}; run more"
    if claim.size is not None and test.of_rates:
        return None  # score tests, which have no smallest p
    smallest = test.smallest_p(*sizes, claim.alternative_of_p)
    if smallest <= planning_level:
        return None
    more = range(n + 1, _MOST_REPLICATES)
    enough = next((m for m in more if test.smallest_p(m, m, claim.alternative_of_p) <= planning_level), None)
    least, limit = compared(smallest, planning_level, digits=2)
    reach = f"alpha = {claim.level:g}"
    if level < claim.level:
        reach = f"the level of the last look, {limit}"
    elif planning_level < level:
        reach += f" / {level / planning_level:.3g} claims"
    return (
        f"with {n} {what if n > 1 else what[:-1]} the {test.name} test can't give a p-value below "
        f"{least}, so it can't reach {reach}" + (f"; run at least {enough} {what}" if enough else "")
    )
