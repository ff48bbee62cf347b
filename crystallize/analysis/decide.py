"""From a sample to the verdict: what a p-value means against a level, and the interval that goes with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from crystallize.analysis.claim_test import Outcome, reads_as_yes_or_no, tested
from crystallize.analysis.deterministic import compared_directly
from crystallize.analysis.reasons import caveat, doubt, exclusion, refutation, shown
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.sensitivity import DIFFERENCES, Sensitivity, effect_sizes, sensitivity
from crystallize.analysis.unchanged import unrepeated
from crystallize.analysis.verdict import PASSING, Status, Verdict
from crystallize.analysis.verifying import answered
from crystallize.boundary import check_failure
from crystallize.claims.claim import Claim
from crystallize.claims.hypothesis import Hypothesis, Sample
from crystallize.stats import TestResult
from crystallize.stats.undisturbed import undisturbed

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels with which the p-values of a claim and of its opposite are compared.

    Attributes
    ----------
    alpha, mirror_alpha : float
        A claim is supported if its p-value, the adjusted one if there is one, is at most alpha, and refuted
        if that of its opposite is at most mirror_alpha.
    supported, refuted, inconclusive : float
        Level of the interval beside each verdict, so that none contradicts it.
    adjusted_p, adjusted_mirror : float, optional
        Corrected for the number of claims, and of their opposites.
    correction : str
        How, where it is not the way of the experiment.
    """

    alpha: float
    mirror_alpha: float
    supported: float
    refuted: float
    inconclusive: float
    adjusted_p: float | None = None
    adjusted_mirror: float | None = None
    correction: str = "none"

    @classmethod
    def alone(cls, alpha: float, mirror_alpha: float | None = None) -> Levels:
        """Return the levels of a claim, or of a look, that stands for itself."""
        mirror = alpha if mirror_alpha is None else mirror_alpha
        return cls(alpha, mirror, alpha, mirror, min(alpha, mirror))

    def compared_p(self, outcome: Outcome) -> float:
        """Return the p-value that is compared with alpha."""
        return outcome.p_value if self.adjusted_p is None else self.adjusted_p

    def opposite_p(self, outcome: Outcome) -> float:
        """Return the p-value of the opposite, which is compared with mirror_alpha."""
        return outcome.mirror_p if self.adjusted_mirror is None else self.adjusted_mirror

    def of_interval(self, status: Status) -> float:
        """Return the level of the interval beside a verdict."""
        if status == "refuted":
            return self.refuted
        return self.supported if status in PASSING else self.inconclusive


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcome of a hypothesis's claim, before it is known what its p-value counts against.

    Attributes
    ----------
    hypothesis, outcome
        What was tested, and what came out.
    planning_level : float
        The level at which a single true difference would have to be found.
    growth : float
        How many times the sample is what is planned.
    may_grow : bool
        Whether replicates may be added after the results were seen.
    numeric : Outcome, optional
        What the values give as numbers, where they are read as yes/no.
    """

    hypothesis: Hypothesis
    outcome: Outcome
    planning_level: float
    growth: float = 1.0
    may_grow: bool = False
    numeric: Outcome | None = None

    @property
    def p_value(self) -> float:
        """The p-value, in [0, 1]."""
        return self.outcome.p_value

    def verdict(self, levels: Levels) -> Verdict:
        """Compare the p-values with their levels."""
        with self.hypothesis.seeded():
            return self._verdict(levels)

    def _verdict(self, levels: Levels) -> Verdict:
        outcome, claim, sample = self.outcome, self.outcome.claim, self.outcome.sample
        status = _status(outcome, levels)
        result = _at_level(outcome, levels.of_interval(status))
        interval = _consistent(status, outcome, result.interval)
        found = sensitivity(
            claim, outcome.test, sample, outcome.result, self.planning_level, growth=self.growth
        )
        reason = self._reason(status, levels, result, interval, found)
        is_rate = outcome.result.estimand != "mean difference"  # resplits have numbers, whatever they hold
        reading = "yes/no" if is_rate and reads_as_yes_or_no(claim, sample) else ""
        as_number = self._as_number(status, levels)
        if as_number and reason:
            reason += f"; {as_number}"
        return Verdict(
            status=status,
            reason=reason,
            p_value=outcome.p_value,
            adjusted_p=levels.adjusted_p,
            correction=levels.correction,
            opposite_p=levels.opposite_p(outcome) if status == "refuted" else None,
            level=levels.mirror_alpha if status == "refuted" else levels.alpha,
            test=result.test,
            estimand="" if result.estimand in DIFFERENCES else result.estimand,
            difference=float(result.estimate),
            interval=interval,
            confidence=result.confidence,
            detectable=None if found is None else found.detectable,
            degenerate=bool(result.degenerate),
            n=sample.n,
            omitted=sample.omitted,
            population=sample.population,
            reading=reading,
            caveat=caveat(outcome, self._unchanged(levels.supported), "" if reason else as_number),
            effect_sizes=effect_sizes(outcome),
            covariate=claim.covariate or "",
            saved=outcome.saved,
            details=self._details(status, levels, result, interval),
        )

    def _reason(
        self,
        status: Status,
        levels: Levels,
        result: TestResult,
        interval: Interval,
        found: Sensitivity | None,
    ) -> str:
        """Say why a verdict is not simply that the claim is supported."""
        claim, outcome = self.outcome.claim, self.outcome
        if status == "supported":
            return ""
        if status == "no harm shown":
            return exclusion(claim)
        effect = shown(outcome, interval, result.confidence)
        if status == "refuted":
            return refutation(claim, effect)
        p_value = levels.compared_p(outcome)
        return doubt(outcome, effect, found, p_value, levels.alpha, interval=interval, may_grow=self.may_grow)

    def _details(
        self, status: Status, levels: Levels, result: TestResult, interval: Interval
    ) -> dict[str, Any]:
        """Return what a verifier of one's own would have returned."""
        outcome = self.outcome
        return {
            "p_value": outcome.p_value,
            **({} if levels.adjusted_p is None else {"adjusted_p": levels.adjusted_p}),
            "significant": levels.compared_p(outcome) <= levels.alpha,
            "accepted": status in PASSING,
            "one_sided_p": outcome.one_sided_p,
            "statistic": result.statistic,
            "df": result.df,
            "difference": float(result.estimate),
            "interval": interval,
            "n": outcome.sample.n,
            "test": result.test,
            "alpha": outcome.claim.alpha,
        }

    def _unchanged(self, level: float) -> str:
        """Say how often unchanged code passes where a reference does not repeat."""
        if self.outcome.sample.repeats:
            return ""
        return unrepeated(self.outcome.claim, self.outcome.sample, self.outcome.test, level)

    def _as_number(self, status: Status, levels: Levels) -> str:
        """Say how the values would be judged as numbers, where that is another verdict."""
        if self.numeric is None:
            return ""
        other = _status(self.numeric, Levels.alone(levels.supported, levels.refuted))
        if other == status:
            return ""
        return f'read as yes/no, since every value is 0 or 1; kind="numeric" makes it {other}'

    @property
    def shown(self) -> str:
        """The effect with its interval, in words."""
        result = self.outcome.result
        return shown(self.outcome, result.interval, result.confidence)


def _status(outcome: Outcome, levels: Levels) -> Status:
    holds = levels.compared_p(outcome) <= levels.alpha and outcome.is_claimed
    is_alarm = outcome.claim.detects is not None
    if holds and not is_alarm:
        return "supported"
    if levels.opposite_p(outcome) <= levels.mirror_alpha and outcome.is_opposed:
        return "refuted"
    return "no harm shown" if holds else "inconclusive"


def _at_level(outcome: Outcome, level: float) -> TestResult:
    """Return what a test gave, with the interval of a level."""
    if level == outcome.level:
        return outcome.result
    try:
        return outcome.at_level(level)
    except BaseException as error:  # of a test of the user's: its interval is then that of the claim alone
        check_failure(error)
        return outcome.result


def _consistent(status: Status, outcome: Outcome, interval: Interval) -> Interval:
    """Return an interval that speaks for the verdict beside it.

    Most intervals hold what their test does not reject, and are returned as they are. Score intervals beside
    exact p-values, and the points of samples without variance, are no such ones: they are widened to the null
    hypothesis where it is not rejected, and end there where it is.
    """
    claim, result = outcome.claim, outcome.result
    low, high = map(float, interval)
    if claim.direction == "equal":
        assert claim.margin is not None
        least, most = result.origin - claim.margin, result.origin + claim.margin
        is_above = result.estimate > result.origin
        if status == "supported":
            return max(low, least), min(high, most)
        if status == "refuted":
            return (max(low, most), high) if is_above else (low, min(high, least))
        if low > least and high < most:
            return (low, most) if is_above else (least, high)
        return min(low, most), max(high, least)
    is_alarm = claim.detects is not None
    null = result.origin if status == "refuted" and is_alarm else result.null
    if status == "inconclusive":  # of an alarm: neither is harm shown, nor the loss excluded
        harm = result.origin if is_alarm else null
        return min(low, null, harm), max(high, null, harm)
    upper = result.side > 0 or (result.side == 0 and claim.claimed == "greater")
    if not claim.is_superiority:
        upper = (claim.claimed == "greater") == (status in PASSING)
    return (max(low, null), high) if upper else (low, min(high, null))


def claim_tested(
    hypothesis: Hypothesis,
    sample: ClaimSample,
    *,
    level: float,
    planning_level: float,
    resampled: float | None,
) -> Tested | Verdict:
    """Test the claim of a hypothesis on a sample; the parameters are those of `claim_test.tested`."""
    claim = claim_of(hypothesis)

    def outcome_of(claim: Claim) -> Outcome | Verdict:
        return tested(claim, sample, level=level, planning_level=planning_level, resampled=resampled)

    with hypothesis.seeded():
        outcome = outcome_of(claim)
        if isinstance(outcome, Verdict):
            return outcome
        numeric = None
        if resampled is None and reads_as_yes_or_no(claim, sample):
            other = outcome_of(replace(claim, kind="numeric", nan_policy="invalid", max_missing=None))
            numeric = None if isinstance(other, Verdict) else other
        return Tested(hypothesis, outcome, planning_level, numeric=numeric)


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
    before, after, number = baseline[claim.metric], treatment[claim.metric], hypothesis.number
    if number is not None:
        before = [number] * len(after)
    sample = ClaimSample(before, after, claim.pairing != "none", number=number)
    if claim.deterministic:
        return compared_directly(claim, sample, ("baseline", "treatment"))
    level = claim.deciding_level
    outcome = claim_tested(hypothesis, sample, level=level, planning_level=level, resampled=None)
    return outcome if isinstance(outcome, Verdict) else outcome.verdict(Levels.alone(level, claim.level))
