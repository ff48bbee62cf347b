"""What the controlling process is told of the experiments of a session before they run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from crystallize.seam import write_whole
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.session.saving import to_be_saved
from pytest_crystallize.units.units import ExperimentRuns

_FILE = "items.json"
"""In the directory of the session."""


def _announcement(runs: ExperimentRuns) -> dict[str, Any]:
    """Return what the controlling process is told of an experiment before it runs."""
    return {
        "name": runs.name,
        "node": "" if runs.members[0].parent is None else runs.members[0].parent.nodeid,
        "units": runs.replicates * len(runs.needed),
        "replicates": runs.replicates,
        "off": [name for name in runs.treatments if name in runs.settings.options.off],
        "experiment": runs.experiment_name,
        "keep_versions": runs.keep_versions,
        "conditions": list(runs.conditions),
        "seed": runs.root_seed,
        "save": to_be_saved(runs),
        "seed_drawn": runs.seed_drawn,
        "for_family": runs.for_family(),
        "where": runs.where,
        "against": [
            item.nodeid for item in runs.members if item.hypothesis and item.hypothesis.reference is not None
        ],
        "stays": runs.stays if runs.settings.cluster is not None else "",
        "tests": {
            item.nodeid: [item.hypothesis.name if item.hypothesis else "", item.treatment or ""]
            for item in runs.members
        },
    }


def announcements(selected: Iterable[HypothesisItem]) -> dict[str, dict[str, Any]]:
    """Return what is to be known of the experiments of the selected tests, by id; plain data."""
    return {item.runs.id: _announcement(item.runs) for item in selected}


def announce(directory: Path, selected: Sequence[HypothesisItem], collected: int) -> None:
    """Tell the controlling process which verdicts to expect; every worker would write the same."""
    path = directory / _FILE
    if path.exists():
        return
    expected = {
        "collected": collected,
        "items": [item.nodeid for item in selected],
        "experiments": announcements(selected),
    }
    write_whole(path, json.dumps(expected).encode())


def announced(directory: Path) -> dict[str, Any] | None:
    """Return what `announce` wrote; None if no worker has collected yet."""
    path = directory / _FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
