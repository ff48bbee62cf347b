"""Claims tested by an e-process: at any number of replicates, without a planned end."""

from __future__ import annotations

from dataclasses import replace

from crystallize.analysis.claim_test import Outcome, of_equal_differences, reads_as_yes_or_no
from crystallize.analysis.decide import Tested, claim_of
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.verdict import Verdict
from crystallize.claims.claim import Claim
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_of_means import PairedTTest
from crystallize.claims.tests_of_rates import McNemarTest
from crystallize.errors import SampleError
from crystallize.stats import TestResult, anytime_mcnemar, anytime_t

_MINIMUM_N = 3


def anytime_tested(
    hypothesis: Hypothesis, sample: ClaimSample, *, g: float, level: float, best: float
) -> Tested | Verdict:
    """Test a claim on what is there so far.

    Parameters
    ----------
    hypothesis, sample
        What to test on what.
    g : float
        As in `AnytimeValid`.
    level : float
        Of all looks together. It is two-sided: a claim with a margin spends half of it for nothing, and may
        be stopped at any time.
    best : float
        The smallest p-value of earlier looks.
    """
    claim = claim_of(hypothesis)
    binary = (
        isinstance(claim.test, McNemarTest) or claim.kind == "binary" or reads_as_yes_or_no(claim, sample)
    )
    test = claim.test or (McNemarTest() if binary else PairedTTest())
    name = "anytime-valid McNemar" if binary else "anytime-valid t"
    fault = _unsuited(claim, sample, binary=binary)
    if fault is not None:
        return Verdict.invalid(fault, test=name)

    def at_level(level: float) -> TestResult:
        sides = [_test(claim, sample, binary, g, level, shift) for shift in _shifts(claim)]
        return max(sides, key=lambda side: side.p_value)

    try:
        result = at_level(level)
        mirror = _mirror_p(claim, sample, g, level, result)
    except SampleError as error:
        return Verdict.invalid(f"the {name} test can't take this sample: {error}", test=name)
    result = replace(result, p_value=min(best, result.p_value))
    outcome = Outcome(claim, sample, _Unplanned(test), level, result, mirror, at_level)
    return Tested(hypothesis, outcome, level, may_grow=True)


def _mirror_p(claim: Claim, sample: ClaimSample, g: float, level: float, result: TestResult) -> float:
    """Return the p-value of the opposite of a claim, which may be looked at again and again, too."""
    if claim.margin is None:
        return 1.0 if claim.direction == "differ" else result.p_value
    beyond = [
        _anytime(sample, g, level, shift).p_value
        for shift in _shifts(claim)
        if (result.estimate < shift if shift < 0 else result.estimate > shift)
    ]
    return min(beyond, default=1.0)


class _Unplanned(StatisticalTest):
    """Placeholder for a test whose number of replicates is open: no power can be reckoned."""

    name = "anytime-valid"
    paired = True

    def __init__(self, test: StatisticalTest) -> None:
        self.relies_on_normality = test.relies_on_normality  # type: ignore[misc]

    def compare(self, *args: object, **options: object) -> TestResult:
        """Raise: the test is never made, as the e-process decides."""
        raise NotImplementedError


def _shifts(claim: Claim) -> list[float]:
    if claim.margin is None:
        return [claim.shift]
    return {
        "no_decrease": [-claim.margin],
        "no_increase": [claim.margin],
        "equal": [-claim.margin, claim.margin],
    }[claim.direction]


def _test(
    claim: Claim, sample: ClaimSample, binary: bool, g: float, level: float, shift: float
) -> TestResult:
    arms = sample.baseline, sample.treatment
    if binary:
        return anytime_mcnemar(*arms, looks=[sample.n], alpha=level)[0]
    result = _anytime(sample, g, level, shift)
    if claim.margin is None:
        return result
    inside = result.estimate > shift if shift < 0 else result.estimate < shift
    return of_equal_differences(
        claim, PairedTTest(), sample, result if inside else replace(result, p_value=1.0)
    )


def _unsuited(claim: Claim, sample: ClaimSample, *, binary: bool) -> str | None:
    if not sample.paired:
        return f"AnytimeValid() needs pairs, and {sample.why_unpaired}"
    if binary and sample.number is not None:
        return (
            f"metric {claim.metric!r} is 0 or 1, and AnytimeValid() tests no rate against a number; use "
            "GroupSequential(), or kind='numeric'"
        )
    if binary and claim.size is not None:
        return (
            f"metric {claim.metric!r} is 0 or 1, and AnytimeValid() tests no margin of such values; use "
            "GroupSequential(), or kind='numeric'"
        )
    if not binary and sample.n < _MINIMUM_N:
        return f"the anytime-valid t test needs at least {_MINIMUM_N} replicates, not {sample.n}; run more"
    return None


def _anytime(sample: ClaimSample, g: float, level: float, shift: float) -> TestResult:
    return anytime_t(sample.baseline, sample.treatment, looks=[sample.n], g=g, alpha=level, shift=shift)[0]
