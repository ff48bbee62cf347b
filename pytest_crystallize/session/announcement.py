"""What the controlling process is told of the experiments of a session before they run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from crystallize.seam import announced_cases, write_whole
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.report.announced import Announced
from pytest_crystallize.session.saving import to_be_saved
from pytest_crystallize.units.experiment_runs import ExperimentRuns

_FILE = "items.json"
"""In the directory of the session."""


def _announced(runs: ExperimentRuns) -> Announced:
    off, plan = runs.settings.options.off.of(runs.id), runs.analysis_plan
    due, stored = _to_be_made(runs)
    return Announced(
        name=runs.name,
        where=runs.where,
        node="" if runs.members[0].parent is None else runs.members[0].parent.nodeid,
        tests={
            item.nodeid: (item.hypothesis.name if item.hypothesis else "", item.treatment or "")
            for item in runs.members
        },
        against=[
            item.nodeid for item in runs.members if item.hypothesis and item.hypothesis.reference is not None
        ],
        part=runs.part,
        reads=runs.reads,
        conditions=runs.conditions,
        off=[name for name in runs.treatments if name in off],
        for_family=runs.for_family(),
        replicates=runs.replicates,
        units=runs.replicates * len(runs.needed),
        looks=plan.sizes if len(plan.sizes) > 1 else (),
        seed=runs.root_seed,
        seed_drawn=runs.seed_drawn,
        artifacts=runs.experiment_name,
        keep_versions=runs.keep_versions,
        stays=runs.stays if runs.settings.cluster is not None else "",
        save=to_be_saved(runs),
        shard=_described(runs),
        inputs=list(runs.caching.inputs),
        cases=announced_cases(plan.cases),
        due=due,
        stored=stored,
    )


def _to_be_made(runs: ExperimentRuns) -> tuple[int, int]:
    """Return how many runs on cases this session needs to make, and how many of them are stored."""
    if runs.design is None or runs.settings.merged is not None:
        return 0, 0
    shard = runs.settings.options.shard
    own = {i for i in range(runs.replicates) if shard is None or shard.has(i)}
    return len(own) * len(runs.needed), 0 if runs.cache is None else runs.cache.count(own)


def _described(runs: ExperimentRuns) -> dict[str, Any]:
    if runs.settings.options.shard is None:
        return {}
    from pytest_crystallize.units.merging import described  # only in shards

    return described(runs)


def announcements(selected: Iterable[HypothesisItem]) -> dict[str, Announced]:
    """Return what is known of the experiments of the selected tests, by id."""
    experiments = {item.runs.id: item.runs for item in selected}  # each of which has many tests
    return {name: _announced(runs) for name, runs in experiments.items()}


@dataclass(frozen=True, slots=True)
class Expected:
    """The tests that a session is to run.

    Attributes
    ----------
    collected : int
        How many tests of experiments there were before any was deselected.
    tests : list of str
        Node ids of those that are selected.
    experiments : dict of str to Announced
        Theirs, by id.
    """

    collected: int
    tests: list[str]
    experiments: dict[str, Announced]


def announce(directory: Path, selected: Sequence[HypothesisItem], collected: int) -> None:
    """Tell the controlling process which verdicts to expect; every worker would write the same."""
    path = directory / _FILE
    if path.exists():
        return
    expected = Expected(collected, [item.nodeid for item in selected], announcements(selected))
    write_whole(path, json.dumps(expected, default=_fields_of).encode())


def announced(directory: Path) -> Expected | None:
    """Return what `announce` wrote; None if no worker has collected yet."""
    path = directory / _FILE
    if not path.exists():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    experiments = {key: Announced(**known) for key, known in data["experiments"].items()}
    return Expected(data["collected"], data["tests"], experiments)


def _fields_of(known: Any) -> dict[str, Any]:
    return {field.name: getattr(known, field.name) for field in fields(known)}
