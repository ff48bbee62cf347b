"""Why a claim was decided as it was, and what to bear in mind: sentences for verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crystallize.analysis.claim_test import Outcome, largest_loss
from crystallize.analysis.columns import mean
from crystallize.analysis.sample import CASES, SEEDS, ClaimSample
from crystallize.analysis.sensitivity import DIFFERENCES, Sensitivity, advice
from crystallize.claims.claim import Claim
from crystallize.claims.claim_terms import EXCLUSION
from crystallize.claims.policy import why_not_anytime
from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_of_means import PairedTTest, WelchTTest
from crystallize.stats.bootstrap import MINIMUM_N
from crystallize.stats.crossed import FEW as CROSSED_FEW
from crystallize.stats.log_ratio import ESTIMAND as GEOMETRIC
from crystallize.stats.skewness import is_harmful
from crystallize.text.formatting import compared, effect, noise_scale, null_of, percent
from crystallize.text.formatting import interval as interval_text

_FEW: Final = 10  # replicates, below which a t test is worth a caveat
_BOOTSTRAPPED: Final[dict[type, str]] = {PairedTTest: "", WelchTTest: "paired=False"}  # its arguments


def shown(outcome: Outcome, interval: tuple[float, float], confidence: float) -> str:
    """Return an effect with its interval, in words."""
    result, relative = outcome.result, outcome.claim.in_percent
    name = "difference" if result.estimand in DIFFERENCES else result.estimand
    means = outcome.sample.means if name == "difference" else ()
    scale = noise_scale(interval, means, relative=relative)
    estimate = effect(float(result.estimate), relative=relative, sign=False, scale=scale)
    size = outcome.claim.size
    null = null_of(result.estimand)
    ends = interval_text(interval, relative=relative, digits=4, scale=scale, margin=size, null=null)
    return f"{name} {estimate}, {percent(confidence)} interval {ends}"


def refutation(claim: Claim, found: str) -> str:
    """Say why a claim is refuted."""
    if claim.detects is not None:
        return f"{claim.label} does harm: {found}"
    if claim.at_least is not None:
        return f"{claim.label} changes by less than the {_size(claim)} claimed: {found}"
    if claim.is_superiority:
        return f"{claim.label} goes the other way: {found}"
    return f"{claim.label} changes by more than the margin {_size(claim)}: {found}"


def exclusion(claim: Claim) -> str:
    """Say what a claim of no harm has excluded."""
    return f"a {_loss(claim)} of {_size(claim)} is excluded at {percent(1 - EXCLUSION)}"


def doubt(
    outcome: Outcome,
    seen: str,
    found: Sensitivity | None,
    p_value: float,
    level: float,
    *,
    interval: tuple[float, float],
    may_grow: bool,
) -> str:
    """Say why a claim is neither supported nor refuted, and what would help.

    Parameters
    ----------
    outcome, seen
        What came out, and how it is shown.
    found : Sensitivity, optional
        What such a sample can show.
    p_value, level : float
        What was compared.
    interval : pair of float
        The one that is shown.
    may_grow : bool
        Whether replicates may be added after the results were seen.
    """
    claim, result = outcome.claim, outcome.result
    if claim.is_superiority and result.degenerate and result.estimate == result.null and not claim.at_least:
        return f"{claim.label} never differs: the treatment changes nothing that it shows"
    what = outcome.sample.counted[1]
    help_, more = advice(outcome, found, interval, what=what)
    if more and not may_grow:
        help_ += f"; {_grown(what)}{', or use AnytimeValid()' if _serves_anytime(outcome) else ''}"
    reached, limit = compared(p_value, level, digits=3)
    if result.degenerate and not _is_rate(outcome):
        return f"{_equal(outcome)} give p = {reached}, above {limit}; {help_}"
    if claim.is_superiority:
        if outcome.p_value <= level:
            return f"{seen}, but adjusted p = {reached} is above {limit}; {help_}"
        allowed = "either sign" if interval[0] < result.null < interval[1] else "that nothing changes"
        if claim.at_least is not None:
            allowed = f"less than the {_size(claim)} claimed"
        return f"{seen}: the data allow {allowed}; {help_}"
    if claim.detects is not None:
        return f"{seen}: no harm is shown, but a {_loss(claim)} of {_size(claim)} is not excluded; {help_}"
    return f"{seen} reaches beyond the margin {_size(claim)}; {help_}"


def _grown(what: str) -> str:
    """Say why not to go on until a claim is supported: a new root seed makes replicates new, but no cases."""
    fresh = "on a new root seed" if what == "replicates" else f"on other {what} than these"
    return f"to add {what} and look again spends alpha again: plan more {fresh}"


def _serves_anytime(outcome: Outcome) -> bool:
    """Return whether an e-process could have tested the same claim."""
    claim, sample = outcome.claim, outcome.sample
    if not sample.paired or sample.population != SEEDS:
        return False
    if _is_rate(outcome) and (claim.size is not None or sample.number is not None):
        return False
    return why_not_anytime(claim) is None


def caveat(outcome: Outcome, *further: str) -> str:
    """Say what a verdict relies on, and what it leaves open."""
    thin = outcome.test.thin(outcome.n)
    loose = unexceedable(outcome.claim, outcome.sample) if _is_of_values(outcome) else ""
    own = loose, thin, _shape(outcome), _unseen(outcome), _seedless(outcome), _of_totals(outcome)
    return "; ".join(filter(None, (*own, *further)))


def unexceedable(claim: Claim, sample: ClaimSample) -> str:
    """Tell of a margin that no change of such values exceeds: mostly it is meant in percent."""
    size = claim.size
    if claim.is_superiority or size is None or size < 1:
        return ""
    limit = f"the {'margin ' if claim.detects is None else ''}{_size(claim)}"
    arms = sample.baseline, sample.treatment
    if claim.relative:
        if claim.direction != "no_decrease" or any(min(arm) < 0 for arm in arms):
            return ""
        return f"{claim.label} is never below 0, so no loss exceeds {limit}"
    if any(min(arm) < 0 or max(arm) > 1 for arm in arms):
        return ""
    told = f"{claim.label} lies from 0 to 1, so no change exceeds {limit}"
    name = "margin" if claim.detects is None else "detects"
    return told if size > 100 else f"{told}; of a rate {size:g} % is {name}={size / 100:g}"


def _shape(outcome: Outcome) -> str:
    """Say what of the distribution a test relies on, where that is in doubt."""
    test, sample, n = outcome.test, outcome.sample, outcome.n
    if not test.relies_on_normality:
        return ""
    if sample.replicates is not None:
        few, what = sample.counted
        if few <= CROSSED_FEW:
            return f"with {few} {what} the {test.name} test hardly knows how much these vary"
    if outcome.result.degenerate:  # what decides is the signs
        return ""
    if n < _FEW:
        return f"the {test.name} test on {n} relies on roughly normal values"
    if sample.units is not None:
        return ""
    if type(test).scores is not StatisticalTest.scores:
        first, second = test.scores(sample.baseline, sample.treatment)
        sample = replace(sample, baseline=first, treatment=second)
    claim = outcome.claim
    if not is_harmful(*sample.skew, claimed="two-sided" if claim.direction == "equal" else claim.claimed):
        return ""
    told = "rare values on its far side count for little in the"
    return (
        f"{claim.label} is skewed against the claim: {told} {test.name} test on {n}{_allowing(outcome)} "
        "no test sees what did not occur"
    )


def _allowing(outcome: Outcome) -> str:
    """Name the test that allows for skewed values, where the claim may name it."""
    arguments = _BOOTSTRAPPED.get(type(outcome.test))
    if arguments is None or outcome.sample.population not in (SEEDS, CASES):
        return ", and"
    few = f", from {MINIMUM_N} {outcome.sample.counted[1]} on" if outcome.n < MINIMUM_N else ""
    return f"; BootstrapTTest({arguments}) allows for that{few}, and"


def _unseen(outcome: Outcome) -> str:
    """Say what replicates that are all within a margin by the same leave unexcluded."""
    claim, result = outcome.claim, outcome.result
    if claim.is_superiority or not result.degenerate or _is_rate(outcome) or result.p_value >= 1:
        return ""
    if largest_loss(claim, outcome.sample) is not None:
        return ""
    n, what = outcome.sample.counted
    part = 100 * (1 - claim.deciding_level ** (1 / n))
    return (
        f"{n} {what} are alike: a loss in up to {part:.2g} % of {what} is not excluded; "
        "worst= bounds what it can cost"
    )


def _seedless(outcome: Outcome) -> str:
    """Tell that no seed changes anything; of a claim of no change, that none changes the baseline."""
    sample, values = outcome.sample, outcome.sample.baseline
    if _is_rate(outcome) or sample.units is not None or len(values) < 2 or not _is_constant(values):
        return ""
    if not outcome.claim.is_superiority:
        told = f"the seed changes nothing in the baseline: one run is as good as {len(values)}"
        return told if sample.number is None else ""
    if sample.population != SEEDS or not _is_constant(sample.treatment):
        return ""
    what = "draw from rng, or seed what draws, or declare deterministic=True"
    return f"the seed changes nothing: {len(values)} runs are as good as one; {what}"


def _is_constant(values: Sequence[float]) -> bool:
    return values[-1] == values[0] and set(values) == {values[0]}


def _of_totals(outcome: Outcome) -> str:
    """Tell how the ratio of the means, which totals follow, lies beyond the interval of geometric means."""
    if outcome.result.estimand != GEOMETRIC:
        return ""
    means = [mean(arm) for arm in (outcome.sample.baseline, outcome.sample.treatment)]
    if not means[0]:
        return ""
    change, (low, high) = means[1] / means[0] - 1, outcome.result.interval
    if low <= change <= high:
        return ""
    return f"totals follow arithmetic means, which differ by {effect(change, relative=True)}"


def _equal(outcome: Outcome) -> str:
    sample, value = outcome.sample, outcome.result.estimate
    many = f"{outcome.n}"
    if sample.replicates is not None and sample.units is not None:
        many = f"{len(sample.baseline)} (of {sample.n} replicates and {len(set(sample.units[0]))} units)"
    if outcome.claim.in_percent:
        return f"{many} equal changes of {effect(value, relative=True, sign=False)}"
    return f"{many} equal differences of {value:.4g}"


def _is_of_values(outcome: Outcome) -> bool:
    """Return whether what is compared are the values of the sample, by their difference or ratio."""
    claim, estimand = outcome.claim, outcome.result.estimand
    return claim.per is None and (claim.in_percent or estimand in DIFFERENCES)


def _is_rate(outcome: Outcome) -> bool:
    return outcome.test.of_rates


def _loss(claim: Claim) -> str:
    return "loss" if claim.direction == "no_decrease" else "rise"


def _size(claim: Claim) -> str:
    return effect(claim.size, relative=claim.relative, sign=False)
