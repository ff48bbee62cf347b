"""From records to samples to verdicts: pure functions, so the same records always give the same verdict."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from crystallize.core.context import is_finite, is_number
from crystallize.core.hypothesis import Decision, Hypothesis, Status
from crystallize.core.run import RunRecord
from crystallize.core.treatment import Treatment
from crystallize.errors import CrystallizeWarning


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one hypothesis under one treatment.

    Attributes
    ----------
    hypothesis, treatment, metric : str
        What it is about; `metric` may name several.
    status : str
        ``"supported"``, ``"refuted"``, ``"inconclusive"`` or ``"invalid"``; only the first passes.
    reason : str
        Why, in a sentence.
    p_value : float or None
        The p-value, if there is one.
    alpha : float or None
        Significance level, if the hypothesis declares one.
    test : str
        Name of the test or verifier.
    n : int
        Replicates that the verdict rests on.
    baseline_mean, treatment_mean, difference : float or None
        Means of the first metric over replicates, and treatment minus baseline.
    interval : pair of float or None
        Confidence interval of the difference.
    degenerate : bool
        Whether the sample has no variance.
    lacking : int
        How many replicates gave no usable evidence.
    details : mapping
        What the verifier returned.
    """

    hypothesis: str
    treatment: str
    metric: str
    status: Status
    reason: str = ""
    p_value: float | None = None
    alpha: float | None = None
    test: str = ""
    n: int = 0
    baseline_mean: float | None = None
    treatment_mean: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    degenerate: bool = False
    lacking: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the hypothesis is supported."""
        return self.status == "supported"

    def to_dict(self) -> dict[str, Any]:
        """Return every field."""
        return asdict(self)

    def summary(self) -> dict[str, Any]:
        """Return what the verifier returned, with `verdict`, `accepted` and, of a claim, what it rests on."""
        summary: dict[str, Any] = {"p_value": self.p_value, "significant": False, "accepted": False}
        summary |= self.details
        summary |= {"accepted": self.passed, "verdict": self.status}
        if self.degenerate:
            summary["degenerate"] = True
        if self.reason:
            summary["reason"] = self.reason
        return summary


class ConditionRuns:
    """The runs of one condition, by replicate, and the samples in them.

    Parameters
    ----------
    condition : str
        Name of the condition.
    records : sequence of RunRecord or None
        One entry per replicate, in order; None where there is no record.
    """

    def __init__(self, condition: str, records: Sequence[RunRecord | None]) -> None:
        self.condition = condition
        self.records = tuple(records)

    @cached_property
    def values(self) -> dict[str, list[list[Any]]]:
        """Metric -> per replicate, every value recorded, in order."""
        values: dict[str, list[list[Any]]] = {}
        empty: list[list[Any]] = [[] for _ in self.records]
        for replicate, record in enumerate(self.records):
            if record is None or not record.succeeded:
                continue
            for entry in record.metrics:
                if entry.name not in values:
                    values[entry.name] = [list(item) for item in empty]
                values[entry.name][replicate].append(entry.value)
        return values

    @cached_property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> one value per replicate, position i for replicate i.

        Several numbers recorded in one replicate are averaged, several other values stay a list, and nan
        stands where a replicate gave no value.
        """
        return {name: [_one_value(items) for items in per_run] for name, per_run in self.values.items()}

    @cached_property
    def measured(self) -> frozenset[str]:
        """Metrics that no seed repeats."""
        return frozenset(e.name for record in self.records if record for e in record.metrics if e.measured)

    @cached_property
    def lacking(self) -> tuple[int, ...]:
        """Replicates without a successful run."""
        return tuple(i for i, record in enumerate(self.records) if record is None or not record.succeeded)

    def gap(self, metric: str) -> str | None:
        """Say why a metric is no sample of finite values in every replicate; None if it is one."""
        per_run = self.values.get(metric, [[]] * len(self.records))
        for replicate, items in enumerate(per_run):
            where = f"in replicate {replicate} of {self.condition!r}"
            if not items:
                record = self.records[replicate]
                names = dict.fromkeys(entry.name for entry in record.metrics) if record else ()
                known = ", ".join(map(repr, names)) or "nothing"
                return f"metric {metric!r} is missing {where}; recorded there: {known}"
            for value in items:
                if is_number(value) and not is_finite(value):
                    return f"metric {metric!r} is {value} {where}"
        return None

    def not_numeric(self, metric: str) -> str | None:
        """Say where a metric is not a number; None if it is one everywhere."""
        for replicate, items in enumerate(self.values.get(metric, ())):
            for value in items:
                if not is_number(value):
                    return f"metric {metric!r} is {value!r} in replicate {replicate} of {self.condition!r}, not a number"
        return None

    def mean(self, metric: str) -> float | None:
        """Return the mean over replicates, or None if it has none."""
        values = self.metrics.get(metric, [])
        return mean(values) if values and all(is_finite(value) for value in values) else None

    def missing_evidence(self) -> str | None:
        """Say which replicates have no successful run; None if all have."""
        if not self.lacking:
            return None
        first = self.lacking[0]
        record = self.records[first]
        if record is None:
            what = "was not run"
        elif record.error is not None:
            what = f"failed with {_first_line(str(record.error))}"
        else:
            what = f"was skipped: {record.skipped}"
        more = f" (as did {len(self.lacking) - 1} more)" if len(self.lacking) > 1 else ""
        return (
            f"{len(self.lacking)} of {len(self.records)} replicates of {self.condition!r} are missing: "
            f"replicate {first} {what}{more}"
        )


def _first_line(text: str) -> str:
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= 200 else line[:197] + "..."


def _one_value(items: list[Any]) -> Any:
    if len(items) == 1:
        return items[0]
    if not items:
        return math.nan
    return mean(items) if all(is_number(item) for item in items) else items


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean, correctly rounded where the sum is representable."""
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # partial sums beyond the largest float; inf - inf
        try:
            return math.fsum(value / len(values) for value in values)
        except (OverflowError, ValueError):
            return math.nan


def evaluate(hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns) -> Verdict:
    """Decide a hypothesis for one treatment; whatever evidence is missing makes it invalid."""
    arms = (baseline, treatment)
    lacking = len({*baseline.lacking, *treatment.lacking})
    reason = baseline.missing_evidence() or treatment.missing_evidence()
    complete: tuple[str, ...] = ()
    if reason is None:
        names = hypothesis.metrics
        if names is None:
            both = [name for name in baseline.values if name in treatment.values]
            complete = tuple(n for n in both if not baseline.gap(n) and not treatment.gap(n))
        else:
            complete = names
            gaps = (arm.gap(name) for name in names for arm in arms)
            reason = next((gap for gap in gaps if gap), None)
            if reason is None and hypothesis.claim is not None:
                reason = next((fault for arm in arms if (fault := arm.not_numeric(names[0]))), None)
    if reason is not None:
        decision = Decision("invalid", reason)
    else:
        decision = hypothesis.decide(*({name: list(arm.metrics[name]) for name in complete} for arm in arms))
    shown = (hypothesis.metrics or complete or ("",))[0]
    means = baseline.mean(shown), treatment.mean(shown)
    difference = decision.difference
    if difference is None and means[0] is not None and means[1] is not None:
        difference = means[1] - means[0]
    return Verdict(
        hypothesis.name,
        treatment.condition,
        hypothesis.metric_label,
        decision.status,
        decision.reason,
        decision.p_value,
        hypothesis.alpha,
        decision.test,
        len(baseline.records) - lacking,
        *means,
        difference,
        decision.interval,
        decision.degenerate or (decision.status != "invalid" and _no_variance(complete, *arms)),
        lacking,
        decision.details,
    )


def _no_variance(metrics: Iterable[str], baseline: ConditionRuns, treatment: ConditionRuns) -> bool:
    """Tell whether the differences of each numeric metric are all equal, over more than one replicate."""
    numeric = [m for m in metrics if not baseline.not_numeric(m) and not treatment.not_numeric(m)]
    if not numeric or len(baseline.records) < 2:
        return False
    return all(
        _constant([t - b for b, t in zip(baseline.metrics[m], treatment.metrics[m], strict=True)])
        for m in numeric
    )


def _constant(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= 1e-12 * max(map(abs, values))


def rank(hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the treatments by the hypothesis's ranker, smallest first; those without a rank come last."""

    def key(name: str) -> tuple[bool, float]:
        if verdicts[name].status == "invalid":
            return (True, 0.0)
        try:
            score = float(hypothesis.ranker(verdicts[name].summary()))
        except Exception as error:
            warnings.warn(
                f"the ranker of hypothesis {hypothesis.name!r} raised {type(error).__name__}: {error} for "
                f"{name!r}, which is ranked last",
                CrystallizeWarning,
                stacklevel=2,
            )
            return (True, 0.0)
        return (math.isnan(score), score)

    return sorted(verdicts, key=key)


def digest(records: Iterable[RunRecord]) -> str:
    """Return a short digest of every metric that is not measured, by condition and replicate.

    Two executions of the same experiment agree bit for bit exactly if their digests agree.
    """
    lines = []
    for record in records:
        values = [[e.name, e.value, e.unit] for e in record.metrics if not e.measured]
        state = "ok" if record.succeeded else "failed" if record.error else "skipped"
        lines.append(json.dumps([record.condition, record.replicate, record.seed, state, values]))
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=8).hexdigest()


def runs_by_condition(
    records: Iterable[RunRecord], conditions: Iterable[str], replicates: int
) -> dict[str, ConditionRuns]:
    """Sort records into conditions and replicates."""
    table: dict[str, list[RunRecord | None]] = {name: [None] * replicates for name in conditions}
    for record in records:
        if record.condition in table and record.replicate < replicates:
            table[record.condition][record.replicate] = record
    return {name: ConditionRuns(name, row) for name, row in table.items()}


def unread_keys(treatment: Treatment, runs: ConditionRuns) -> list[str]:
    """Return the keys of a treatment's mapping that nothing read in any of its runs."""
    read = {key for record in runs.records if record is not None for scope in record.scopes for key in scope.reads}
    ran = any(record is not None and record.succeeded for record in runs.records)
    return [key for key in treatment.payload or () if key not in read] if ran else []
