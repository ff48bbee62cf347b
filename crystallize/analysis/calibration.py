"""Calibration: how often a hypothesis is supported where nothing is there to be found."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from crystallize.analysis.analysis import evaluate
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.claim import Claim
from crystallize.claims.hypothesis import Hypothesis
from crystallize.claims.policy import DEFAULT_JUDGING, Judging
from crystallize.context.record import RunRecord
from crystallize.context.recording import is_number
from crystallize.declare.case_design import CaseStream
from crystallize.declare.treatment import BASELINE
from crystallize.stats import clopper_pearson_interval
from crystallize.stats.undisturbed import undisturbed
from crystallize.text.formatting import counted

CONFIDENCE: Final = 0.98
"""Of the interval of the rate: a rate above alpha is called so with an error of 1 %."""

BLIND_SPOT: Final = (
    "an A/A test sees no error that both its sides share: replicates that rest on one data set, or "
    "overlap, look "
    "independent to it"
)

_ITSELF: Final = "itself"  # what is compared with the baseline, where that is


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rate at which A/A tests supported a hypothesis.

    Attributes
    ----------
    hypothesis : str
        Its name.
    tests : int
        A/A tests that were made.
    false_positives : int
        How many of them support the hypothesis.
    n : int
        Replicates on each side of a test.
    alpha : float
        The rate that is allowed.
    interval : pair of float
        98 % confidence interval of the rate (Clopper and Pearson's).
    status : str
        ``"calibrated"``; ``"miscalibrated"``, if the whole interval lies above alpha; ``"invalid"``, if a
        test could not be made.
    reason : str
        Why it is not calibrated, and what to do.
    """

    hypothesis: str
    tests: int
    false_positives: int
    n: int
    alpha: float
    interval: tuple[float, float]
    status: Literal["calibrated", "miscalibrated", "invalid"]
    reason: str = ""

    @property
    def rate(self) -> float:
        """Part of the tests that support the hypothesis."""
        return self.false_positives / self.tests

    def to_dict(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)


@undisturbed()
def calibrate(
    hypothesis: Hypothesis,
    baseline: ConditionRuns,
    n: int,
    *,
    judging: Judging = DEFAULT_JUDGING,
    cases: CaseStream | None = None,
) -> Calibration:
    """Test the baseline against itself, on fresh replicates each time.

    A claim with a margin is tested at its margin: the values of one side are moved by it.

    Parameters
    ----------
    hypothesis : Hypothesis
        A claim, or a verifier.
    baseline : ConditionRuns
        Of 2 n replicates for each test, all of different seeds.
    n : int
        Replicates on each side.
    judging : Judging
        Of the experiment; what is corrected for there is a family, which a single hypothesis is not.
    cases : CaseStream, optional
        Which case each replicate is of: both sides of a test are other samples of the same cases.
    """
    hypothesis = copy.copy(hypothesis)
    hypothesis.treatments, hypothesis.pairwise, hypothesis.slices = None, False, False
    if hypothesis.number is None:
        hypothesis.against = None  # both sides are of today
    claim, alpha = hypothesis.claim, _alpha(hypothesis)
    tests = len(baseline.records) // (2 * n)
    unknown = Calibration(hypothesis.name, tests, 0, n, alpha, (0.0, 1.0), "invalid")
    number = hypothesis.number
    alone = replace(judging, correction="none")
    size = n if cases is None else n // cases.samples
    plan = AnalysisPlan((hypothesis,), (_ITSELF,), size, alone, cases=cases)
    reason = _missing(baseline) or plan.why_out_of_reach(hypothesis)
    if reason is None and claim is not None:
        reason = _not_testable(claim, baseline, number)
    if reason is not None:
        return replace(unknown, reason=reason)
    moved = claim is not None and (claim.size is not None or number is not None)
    shift = _shift(claim, baseline, number) if claim is not None and moved else None
    found = invalid = 0
    for a, b in _pairs(baseline.records, n, shift):
        verdict = evaluate(hypothesis, a, b, judging=alone, cases=cases)
        found += verdict.passed
        if verdict.status == "invalid":
            invalid += 1
            reason = reason or verdict.reason
    if reason is not None:
        verb = "is" if invalid == 1 else "are"
        reason = f"{invalid} of {counted(tests, 'A/A test')} {verb} invalid, such as: {reason}"
        return replace(unknown, reason=reason)
    interval = clopper_pearson_interval(found, tests, 1 - CONFIDENCE)
    calibrated = interval[0] <= alpha
    reason = (
        f"supported by {found} of {counted(tests, 'A/A test')} of {counted(n, 'replicate')}, "
        f"{100 * found / tests:.3g} % where {100 * alpha:.3g} % are allowed: what it calls significant is "
        "too often nothing; use a test that keeps its level at this number of replicates"
    )
    return Calibration(
        hypothesis.name,
        tests,
        found,
        n,
        alpha,
        interval,
        "calibrated" if calibrated else "miscalibrated",
        "" if calibrated else reason,
    )


def _alpha(hypothesis: Hypothesis) -> float:
    if hypothesis.claim is not None:
        return hypothesis.claim.deciding_level
    return 0.05 if hypothesis.alpha is None else hypothesis.alpha


def _missing(baseline: ConditionRuns) -> str | None:
    return baseline.missing_evidence() if baseline.records else "there is no replicate"


def _not_testable(claim: Claim, baseline: ConditionRuns, number: float | None) -> str | None:
    """Say why A/A tests show nothing of a claim; None if they do."""
    if claim.deterministic:
        return "it is declared deterministic, so there is no rate of errors"
    values = baseline.column(claim.metric)
    moved = claim.size is not None or number is not None
    if moved and claim.per is not None:
        return f"{claim.label} can't be moved to where nothing is to be found; it is not calibrated this way"
    if moved and claim.kind != "numeric" and {0.0, 1.0}.issuperset(values):
        where = "the margin" if number is None else f"{number:g}"
        return (
            f"metric {claim.metric!r} is 0 or 1, which can't be moved to {where}; its test is not calibrated "
            "this way"
        )
    return None


def _shift(claim: Claim, baseline: ConditionRuns, number: float | None) -> tuple[str, float, float]:
    """Return the metric, and by what to multiply its values and what to add, to be where nothing is found.

    That is at the margin; and if a number is what they are compared with, their mean is moved to it first.
    """
    direction = -1 if claim.direction in ("no_decrease", "decrease") else 1
    margin = 0.0 if claim.size is None else direction * claim.size
    values = [value for value in baseline.column(claim.metric) if value is not None]
    if number is not None and claim.is_ratio:
        middle = math.exp(math.fsum(map(math.log, values)) / len(values))
        return claim.metric, number / middle * (1 + margin), 0.0
    if number is not None:
        return claim.metric, 1.0, number - math.fsum(values) / len(values) + margin
    if not claim.relative:
        return claim.metric, 1.0, margin
    if claim.is_ratio:
        return claim.metric, 1 + margin, 0.0
    return claim.metric, 1 + math.copysign(margin, math.fsum(values) * margin), 0.0


def _pairs(
    records: Sequence[RunRecord | None], n: int, shift: tuple[str, float, float] | None
) -> Iterator[tuple[ConditionRuns, ConditionRuns]]:
    for start in range(0, len(records) - 2 * n + 1, 2 * n):
        a = [r for r in records[start : start + n] if r is not None]
        b = [r for r in records[start + n : start + 2 * n] if r is not None]
        treated = [
            replace(_moved(record, shift), condition=_ITSELF, seed=of.seed)
            for record, of in zip(b, a, strict=True)
        ]
        yield ConditionRuns(BASELINE, a), ConditionRuns(_ITSELF, treated)


def _moved(record: RunRecord, shift: tuple[str, float, float] | None) -> RunRecord:
    if shift is None:
        return record
    metric, factor, summand = shift
    return replace(
        record,
        metrics=tuple(
            e._replace(value=factor * e.value + summand) if e.name == metric and is_number(e.value) else e
            for e in record.metrics
        ),
    )
