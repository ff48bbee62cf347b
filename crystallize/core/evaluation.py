"""From records to samples to verdicts: pure functions, so the same records always give the same verdict."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from crystallize.core.decision import Decision, Status
from crystallize.core.hypothesis import Hypothesis
from crystallize.core.recording import is_finite, is_number
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


class _Several(list[Any]):
    """Several values of a metric in one replicate, where a plain list would be one value."""


_NOTHING: Any = object()
"""Stands where a replicate gave no value of a metric."""


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
        self._gaps: dict[str, str | None] = {}

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        """Metric -> per replicate, the value recorded, `_Several` of them, or `_NOTHING`."""
        columns: dict[str, list[Any]] = {}
        for replicate, record in enumerate(self.records):
            if record is None or record.error is not None or record.skipped is not None:
                continue
            for name, value, _, _, _ in record.metrics:
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [_NOTHING] * len(self.records)
                before = column[replicate]
                if before is _NOTHING:
                    column[replicate] = value
                elif type(before) is _Several:
                    before.append(value)
                else:
                    column[replicate] = _Several([before, value])
        return columns

    @cached_property
    def metrics(self) -> dict[str, list[Any]]:
        """Metric -> one value per replicate, position i for replicate i.

        Several numbers recorded in one replicate are averaged, several other values stay a list, and nan
        stands where a replicate gave no value.
        """
        return {
            name: [item if type(item) in _SINGLE else _one_value(item) for item in column]
            for name, column in self._columns.items()
        }

    @cached_property
    def measured(self) -> frozenset[str]:
        """Metrics that no seed repeats."""
        return frozenset(e.name for record in self.records if record for e in record.metrics if e.measured)

    @cached_property
    def lacking(self) -> tuple[int, ...]:
        """Replicates without a successful run."""
        return tuple(
            i
            for i, record in enumerate(self.records)
            if record is None or record.error is not None or record.skipped is not None
        )

    def sample(self, metrics: Iterable[str]) -> dict[str, list[Any]]:
        """Return copies of the samples of these metrics, which their receiver may change."""
        return {
            name: [item if type(item) in _SINGLE else copy.deepcopy(item) for item in self.metrics[name]]
            for name in metrics
        }

    def gap(self, metric: str) -> str | None:
        """Say why a metric is no sample of evidence in every replicate; None if it is one.

        No value, None, and anything that is or holds a nan or an infinity are no evidence.
        """
        if metric not in self._gaps:
            self._gaps[metric] = self._gap(metric)
        return self._gaps[metric]

    def _gap(self, metric: str) -> str | None:
        column = self._columns.get(metric)
        if column is None:
            column = [_NOTHING] * len(self.records)
        elif _all_finite(column):
            return None
        for replicate, item in enumerate(column):
            where = f"in replicate {replicate} of {self.condition!r}"
            if item is _NOTHING:
                record = self.records[replicate]
                names = dict.fromkeys(entry.name for entry in record.metrics) if record else ()
                known = ", ".join(map(repr, names)) or "nothing"
                return f"metric {metric!r} is missing {where}; recorded there: {known}"
            for value in _scalars(item):
                if value is None or (is_number(value) and not is_finite(value)):
                    verb = "holds" if type(item) in (list, dict) else "is"
                    return f"metric {metric!r} {verb} {value} {where}"
        return None

    def not_numeric(self, metric: str) -> str | None:
        """Say where a metric is not a number; None if it is one everywhere."""
        column = self._columns.get(metric, ())
        if _all_finite(column):
            return None
        for replicate, item in enumerate(column):
            for value in item if type(item) is _Several else (item,):
                if value is not _NOTHING and not is_number(value):
                    return (
                        f"metric {metric!r} is {_short(value)} in replicate {replicate} of "
                        f"{self.condition!r}, not a number"
                    )
        return None

    def mean(self, metric: str) -> float | None:
        """Return the mean over replicates, or None if it has none."""
        values = self.metrics.get(metric, [])
        return mean(values) if values and (_all_finite(values) or all(map(is_finite, values))) else None

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


_SINGLE = frozenset({float, int, bool, str})


def _one_value(item: Any) -> Any:
    if item is _NOTHING:
        return math.nan
    if type(item) is not _Several:
        return item
    return mean(item) if all(map(is_number, item)) else list(item)


def _all_finite(column: Sequence[Any]) -> bool:
    """Tell whether every value is a finite number; quick, and False where it would have to look closer."""
    if not {float, int, bool}.issuperset(map(type, column)):
        return False
    try:
        return all(map(math.isfinite, column))
    except OverflowError:
        return False


def _scalars(value: Any) -> Iterator[Any]:
    """Yield every scalar in a metric's value."""
    if isinstance(value, list):
        for item in value:
            yield from _scalars(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _scalars(item)
    else:
        yield value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


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
    reason, metrics = _evidence(hypothesis, *arms)
    if reason is None:
        decision = hypothesis.decide(*(arm.sample(metrics) for arm in arms))
    else:
        decision = Decision("invalid", reason)
    shown = (hypothesis.metrics or metrics or ("",))[0]
    means = baseline.mean(shown), treatment.mean(shown)
    difference = decision.difference
    if difference is None and means[0] is not None and means[1] is not None:
        difference = means[1] - means[0]
    lacking = len({*baseline.lacking, *treatment.lacking})
    degenerate = decision.degenerate
    if hypothesis.claim is None and decision.status != "invalid":
        degenerate = degenerate or _no_variance(metrics, *arms)
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
        degenerate,
        lacking,
        decision.details,
    )


def _evidence(
    hypothesis: Hypothesis, baseline: ConditionRuns, treatment: ConditionRuns
) -> tuple[str | None, tuple[str, ...]]:
    """Return why there is no evidence to decide upon, if so, and the metrics that the evidence is about."""
    arms = (baseline, treatment)
    reason = baseline.missing_evidence() or treatment.missing_evidence() or _not_pairs(*arms)
    if reason is not None:
        return reason, ()
    if hypothesis.metrics is not None:
        gaps = (arm.gap(name) for name in hypothesis.metrics for arm in arms)
        reason = next((gap for gap in gaps if gap), None)
        if reason is None and hypothesis.claim is not None:
            faults = (arm.not_numeric(hypothesis.claim.metric) for arm in arms)
            reason = next((fault for fault in faults if fault), None)
        return reason, hypothesis.metrics
    recorded = dict.fromkeys((*baseline.metrics, *treatment.metrics))
    gaps_of = {name: baseline.gap(name) or treatment.gap(name) for name in recorded}
    complete = tuple(name for name, gap in gaps_of.items() if gap is None)
    if complete:
        return None, complete
    return next((gap for gap in gaps_of.values() if gap), "no metric was recorded"), ()


def _not_pairs(baseline: ConditionRuns, treatment: ConditionRuns) -> str | None:
    """Say why the values of two complete conditions are not pairs of the same seeds; None if they are."""
    sizes = len(baseline.records), len(treatment.records)
    if sizes[0] != sizes[1] or not sizes[0]:
        return (
            f"{sizes[0]} replicates of {baseline.condition!r} and {sizes[1]} of {treatment.condition!r}; a "
            "verdict needs the same replicates of both, and at least one"
        )
    for replicate, (one, other) in enumerate(zip(baseline.records, treatment.records, strict=True)):
        if one is not None and other is not None and one.seed != other.seed:
            return (
                f"replicate {replicate} has seed {one.seed} in {baseline.condition!r} and {other.seed} in "
                f"{treatment.condition!r}; both need the same root seed"
            )
    return None


def _no_variance(metrics: Iterable[str], baseline: ConditionRuns, treatment: ConditionRuns) -> bool:
    """Tell whether the differences of each numeric metric are all equal, over more than one replicate."""
    numeric = [m for m in metrics if not baseline.not_numeric(m) and not treatment.not_numeric(m)]
    if not numeric or len(baseline.records) < 2:
        return False
    return all(_equal_differences(baseline.metrics[m], treatment.metrics[m]) for m in numeric)


def _equal_differences(baseline: Sequence[float], treatment: Sequence[float]) -> bool:
    differences = [t - b for b, t in zip(baseline, treatment, strict=True)]
    largest = max(max(map(abs, values)) for values in (baseline, treatment, differences))
    return max(differences) - min(differences) <= 1e-12 * largest


def unread_keys(treatment: Treatment, runs: ConditionRuns) -> list[str]:
    """Return the context keys that a treatment set and nothing read in any of its successful runs.

    Such a key changes nothing: mostly its name is not that of the parameter which it was meant for. Without a
    successful run there is nothing to tell, and the list is empty.
    """
    written: dict[str, None] = dict.fromkeys(treatment.payload or ())
    read: set[str] = set()
    seen = False
    known: set[tuple[int, ...]] = set()
    for record in runs.records:
        if record is None or not record.succeeded:
            continue
        seen = True
        traces = tuple(map(id, record.scopes))
        if traces in known:
            continue
        known.add(traces)
        for position, scope in enumerate(record.scopes):
            if position == 0 and scope.name == treatment.name:
                written.update(dict.fromkeys(scope.writes))
            else:
                read.update(scope.reads)
    return [key for key in written if key not in read] if seen else []


def rank(hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the treatments by the hypothesis's ranker, smallest first; those without a rank come last."""

    def key(name: str) -> tuple[bool, float]:
        if verdicts[name].status == "invalid":
            return (True, 0.0)
        try:
            score = hypothesis.rank(verdicts[name].summary())
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
    """Sort records into conditions and replicates.

    Where a unit has several records, one that did not succeed counts, in whatever order they come.
    """
    table: dict[str, list[RunRecord | None]] = {name: [None] * replicates for name in conditions}
    for record in records:
        row = table.get(record.condition)
        if row is not None and 0 <= record.replicate < replicates:
            known = row[record.replicate]
            if known is None or known.succeeded:
                row[record.replicate] = record
    return {name: ConditionRuns(name, row) for name, row in table.items()}
