"""Which stored runs are made again in a session that uses them, and how they are compared."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from crystallize.claims.hypothesis import Hypothesis, metrics_of_claims
from crystallize.context.record import RunError, RunRecord
from crystallize.run.repeatability import difference
from crystallize.run.units import Unit

ELSEWHERE: Final = "was run where the environment is another"

VERIFIED: Final = 0.05
"""Part of the time saved that is spent on running again, unless somebody says otherwise."""

_chance = random.SystemRandom()  # no seed of an experiment's, nor one that it could move


def ignores_stored(hypotheses: Iterable[Hypothesis], measured: Collection[str]) -> bool:
    """Return whether a hypothesis is about a measured metric: stored values would tell of another time."""
    return _is_about(metrics_of_claims(hypotheses), measured)


def _is_about(claimed: frozenset[str] | None, metrics: Collection[str]) -> bool:
    """Return whether one of these metrics is claimed something of; with None, something is of all."""
    return bool(metrics) if claimed is None else not claimed.isdisjoint(metrics)


def measured_whole(
    hits: Mapping[Unit, RunRecord],
    conditions: Collection[str],
    made: Mapping[Unit, str],
    claimed: frozenset[str] | None,
) -> dict[Unit, RunRecord]:
    """Return the records of replicates all of whose conditions one session has measured itself.

    Of a value that a cacheable step's stored result gave, nobody knows when and where it was measured.
    """
    by_replicate: dict[int, list[Unit]] = {}
    for unit, record in hits.items():
        if not _is_about(claimed, record.measured_by_stored_steps):
            by_replicate.setdefault(unit.replicate, []).append(unit)
    return {
        unit: hits[unit]
        for units in by_replicate.values()
        if len(units) == len(set(conditions)) and len({made[unit] for unit in units}) == 1
        for unit in units
    }


def compared_with_stored(stored: RunRecord, record: RunRecord) -> RunRecord:
    """Return the record of a run that was made again, or one of its failure if it gave something else.

    What is measured may differ; every other metric is the same, bit for bit.
    """
    elsewhere = record.impure is not None and record.impure.startswith(ELSEWHERE)
    if not record.succeeded or elsewhere:  # another machine's last bits say nothing of what is stored
        return record
    found = difference(stored, record)
    if found is None:
        return dataclasses.replace(record, cached=True)
    name, old, new = found
    message = (
        f"metric {name!r} in replicate {record.replicate} of {record.condition!r} is {new}, but an earlier "
        f"run of the same code stored {old}: it depends on something that is not known; declare it (inputs=, "
        "env=), seed it, or record what can't be repeated with measured=True; refresh or delete the cache to "
        "run everything again"
    )
    error = RunError("NotRepeatable", message, "verification of the cache", f"NotRepeatable: {message}\n")
    return dataclasses.replace(record, error=error)


def to_verify(hits: Mapping[Unit, RunRecord], share: float) -> set[Unit]:
    """Return which runs to repeat: the cheapest, and others at random as long as their time allows."""
    if not hits or share <= 0:
        return set()
    cheapest = min(hits, key=lambda unit: (hits[unit].seconds, unit))
    rest = share * sum(record.seconds for record in hits.values()) - hits[cheapest].seconds
    chosen = {cheapest}
    others = [unit for unit in hits if unit != cheapest]
    _chance.shuffle(others)
    for unit in others:
        rest -= hits[unit].seconds
        if rest < 0:
            break
        chosen.add(unit)
    return chosen
