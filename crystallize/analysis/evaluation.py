"""From records to what they say: digests and rankings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.verdict import Verdict
from crystallize.boundary import failure
from crystallize.claims.hypothesis import Hypothesis
from crystallize.context.record import RunRecord
from crystallize.context.record_table import Records, RecordTable
from crystallize.text.warned import warn


def rank(hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the treatments by the hypothesis's ranker, smallest first; those without a rank come last."""
    scores = {treatment: score(hypothesis, verdict) for treatment, verdict in verdicts.items()}
    return ranked(scores)


def score(hypothesis: Hypothesis, verdict: Verdict) -> float | None:
    """Return what the ranker gives for a verdict; None for an invalid one, or if it raises."""
    if verdict.status == "invalid":
        return None
    try:
        found = hypothesis.rank(verdict.summary())
    except BaseException as error:
        warn(
            f"the ranker of hypothesis {hypothesis.name!r} raised {failure(error)} for "
            f"{verdict.treatment!r}, which is ranked last"
        )
        return None
    return None if math.isnan(found) else found


def ranked(scores: Mapping[str, float | None]) -> list[str]:
    """Return names by their scores, smallest first; those without one come last, in their order."""
    return sorted(scores, key=lambda name: (scores[name] is None, scores[name] or 0.0))


def digest(records: Iterable[RunRecord]) -> str:
    """Return a short digest of every metric that is not measured, by condition and replicate.

    Two executions of the same experiment agree bit for bit exactly if their digests agree.

    Parameters
    ----------
    records : iterable of RunRecord
        Of one experiment, in any order.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def score(data, ctx, *, boost=0.0):
    ...     return data, {"score": boost + ctx.rng.normal()}
    >>> first, second = (Experiment(0, [score], replicates=3).run() for _ in range(2))
    >>> digest(first.records) == digest(second.records) == first.digest
    True
    """
    lines = []
    for record in records:
        values = [[e.name, e.value, e.unit] for e in record.metrics if not e.measured]
        state = "ok" if record.succeeded else "failed" if record.error else "skipped"
        lines.append(json.dumps([record.condition, record.replicate, record.seed, state, values]))
    lines.sort()
    found = hashlib.blake2b(digest_size=8)
    for number, line in enumerate(lines):  # a copy of all of them would be large
        found.update(f"\n{line}".encode() if number else line.encode())
    return found.hexdigest()


def runs_by_condition(
    records: Iterable[RunRecord], conditions: Iterable[str], replicates: int
) -> dict[str, ConditionRuns]:
    """Sort records into conditions and replicates.

    Where a unit has several records, one that did not succeed counts, in whatever order they come.
    """
    tables = {name: RecordTable() for name in conditions}
    for record in records:
        table = tables.get(record.condition)
        if table is not None and 0 <= record.replicate < replicates:
            table.put_unless_failed(record)
    return {name: ConditionRuns(name, Records(table, replicates)) for name, table in tables.items()}
