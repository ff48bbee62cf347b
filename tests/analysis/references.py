"""Runs as references hold them."""

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.reference_file import load_reference
from crystallize.analysis.stored_reference import Origin
from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry
from crystallize.identity.provenance import Machine


def runs_of(condition, *replicates, seeds=None):
    """Return runs of which each replicate recorded these (metric, value, unit)."""
    records = [
        RunRecord(
            condition,
            i,
            100 + i if seeds is None else seeds[i],
            tuple(
                MetricEntry(name, value, unit, name.startswith("measured"), "step")
                for name, value, unit in entries
            ),
        )
        for i, entries in enumerate(replicates)
    ]
    return ConditionRuns(condition, records)


HERE = Machine("Abacus", 4, "CPython 3.11.7")


def origin(commit="c0ffee"):
    return Origin.now(commit=commit, dirty=False, machine=HERE, inputs={"data/a.csv": "1f2e"})


def held(path):
    """Return condition -> runs of a file."""
    return {name: known.conditions[name] for name, known in load_reference(path).conditions.items()}
