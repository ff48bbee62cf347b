"""The digest of records, by which two executions of an experiment are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from crystallize.context.record import RunRecord


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
