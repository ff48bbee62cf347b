"""The runs of an experiment that shards have made, in the session that judges them."""

from __future__ import annotations

from functools import partial
from typing import Any

from crystallize.errors import EngineError, FingerprintError
from crystallize.seam import Unit, changes, environment, first_of
from pytest_crystallize.records.exchange import UNLIKE
from pytest_crystallize.records.logs import Key
from pytest_crystallize.records.shards import ExperimentShard, MergedShards, ShardFile
from pytest_crystallize.units.unit_runs import UnitRuns

_MOST_NAMED = 5


def described(runs: UnitRuns) -> dict[str, Any]:
    """Return what a shard's file says of an experiment besides its records; plain data."""
    return {
        "name": runs.name,
        "seed": runs.root_seed,
        "replicates": runs.replicates,
        "conditions": list(runs.conditions),
        "needed": runs.needed_in_order,
        "claims": [item.nodeid for item in runs.selected],
        "cases": "" if runs.design is None else runs.design.cases.digest,
        "code": _code(runs),
    }


def _code(runs: UnitRuns) -> dict[str, dict[str, str]]:
    """Return what the runs of each condition depend on, the environment apart."""
    try:
        return runs.subject().identify(environment()).parts
    except FingerprintError:
        return {}


def take_merged(runs: UnitRuns, merged: MergedShards) -> None:
    """Make known what all shards ran of an experiment.

    Raises
    ------
    EngineError
        If it is not what they ran, or a run is missing.
    """
    found = merged.of(runs.id)
    if not found:
        raise EngineError(f"{runs.name} is in no shard: the suite has changed, or other tests are selected")
    exchange = runs.settings.exchange
    _check(runs, *found[0])
    for file, shard in found:
        if shard.unlike is not None:
            exchange.agree(f"{UNLIKE} {runs.id}", partial(str, shard.unlike))
        for record in shard.decoded():
            if not file.shard.has(record.replicate) or record.seed != runs.stream.seed(record.replicate):
                raise EngineError(f"{file.path} holds a run that is not of shard {file.shard} of {runs.name}")
            exchange.publish(Key(runs.id, record.replicate, record.condition), record)
    for file, _ in found:
        _check_complete(runs, file)


def _check(runs: UnitRuns, first: ShardFile, shard: ExperimentShard) -> None:
    now = described(runs)
    for name in ("seed", "replicates", "conditions", "cases"):
        then = getattr(shard, name)
        if now[name] != (list(then) if isinstance(then, tuple) else then):
            raise EngineError(f"{name} of {runs.name} are {now[name]}, and were {then} in the shards")
    if missing := [name for name in now["needed"] if name not in shard.needed]:
        raise EngineError(f"the shards did not run {', '.join(map(repr, missing))} of {runs.name}")
    if not shard.code and (first.commit is None or first.dirty):
        runs.settings.note(f"nothing shows that the shards ran the code of {runs.name} that is here")
    for condition, parts in shard.code.items():
        if changed := changes(parts, now["code"].get(condition, {})):
            raise EngineError(
                f"the shards ran other code of {runs.name} than is here: {', '.join(changed[:_MOST_NAMED])}"
            )


def _check_complete(runs: UnitRuns, file: ShardFile) -> None:
    has, needed = runs.settings.exchange.has, runs.needed_in_order
    own = (i for i in range(runs.replicates) if file.shard.has(i))
    lost = [Unit(i, name) for i in own for name in needed if not has(Key(runs.id, i, name))]
    if lost:
        named = first_of([f"{runs.stream.label(i)} of {name!r}" for i, name in lost], _MOST_NAMED)
        raise EngineError(f"shard {file.shard} lacks {named}: it did not come to its end; run it again")
