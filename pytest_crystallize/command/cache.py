"""``crystallize cache``: why runs are made again, and what is kept for too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from crystallize.seam import Unit, ignores_stored, open_store, printable
from pytest_crystallize.collect.items import HypothesisItem
from pytest_crystallize.command.main import GOOD, CommandError
from pytest_crystallize.command.session import ask, kept_in
from pytest_crystallize.units.experiment_cache import MEASURED
from pytest_crystallize.units.experiment_runs import ExperimentRuns


def why(node: str, *, behind: Sequence[str] = ()) -> int:
    """Print, of each experiment of a node, how many runs are stored, and why the others are made.

    Parameters
    ----------
    node : str
        A file, a function or a test, as pytest is given it.
    behind : sequence of str
        Further arguments of pytest.
    """
    arguments = ["--crystallize", "--crystallize-cache=reuse", node, *behind]
    ask(partial(_print_why, node), arguments, collects=True)
    return GOOD


def _print_why(node: str, session: pytest.Session) -> None:
    found = {item.runs.id: item.runs for item in session.items if isinstance(item, HypothesisItem)}
    if not found:
        raise CommandError(f"{node} is no experiment, nor holds one; give a node id, as pytest -v prints it")
    for runs in found.values():
        if runs.settings.records is None:
            raise CommandError("no run is stored: the cache is switched off, or can't be made")
        runs.settings.records.learn_set_up(session.config)
        for line in _lines(runs):
            print(printable(line))


def _lines(runs: ExperimentRuns) -> Iterator[str]:
    cache = runs.cache
    assert cache is not None  # or there would be nothing to look in
    stored, runs_of_all = cache.stored, runs.replicates * len(runs.needed)
    known = stored.load(runs.needed, runs.replicates)
    measured = {entry.name for record in known.values() for entry in record.metrics if entry.measured}
    unused = MEASURED if not stored.runs.exempt and ignores_stored(runs.hypotheses, measured) else None
    count = cache.count(range(runs.replicates)) if unused is None else len(known)
    yield f"{runs.id}: {count} of {runs_of_all} runs are stored"
    if (why_run := stored.runs.refusal or unused) is not None:
        yield f"  run each time: {why_run}"
        return
    for condition in runs.needed_in_order:
        hits = stored.recall([condition], runs.replicates, runs.hypotheses, 0.0)[0]
        if len(hits) < runs.replicates:
            absent = (i for i in range(runs.replicates) if Unit(i, condition) not in hits)
            said = [*stored.explain(condition), *stored.edited_cases(absent)]
            unknown = "the others were not" if hits else "none was"
            changes = ", ".join(said) or f"{unknown} run, or stored, of which a session says why"
            yield f"  {condition}: {len(hits)} of {runs.replicates}: {changes}"


def prune(*, days: float = 30.0, behind: Sequence[str] = ()) -> int:
    """Delete stored runs, and results of steps, that nobody has used for some days.

    Parameters
    ----------
    days : float
        How many.
    behind : sequence of str
        Further arguments of pytest, such as ``-o cache_dir=...``.
    """
    ask(partial(_prune, days), behind)
    return GOOD


def _prune(days: float, session: pytest.Session) -> None:
    kept = kept_in(session.config)
    for_days = f"{days:g} day{'' if days == 1 else 's'}"
    for name, what in (("records", "stored runs"), ("steps", "results of steps")):
        store = open_store(kept / name)
        removed, left = store.prune(days)
        if store.fault is not None:
            raise CommandError(store.fault)
        print(f"{what}: removed {removed:,} bytes that were not used for {for_days}, {left:,} bytes are left")
