"""An experiment that is compared with a reference."""

import json
import sys

import pytest

SOURCE = """
@pytest.mark.experiment(
    replicates={replicates},
    treatments={treatments},
    hypotheses=[
        Hypothesis(
            metric="total", direction="no_decrease", margin=0.2, against=Reference("main"), name="kept"
        ),
        *{others},
    ],
    **{keywords},
)
def experiment_total(rng, replicate, condition, delta=0.0, noise=0.0):
    value = rng.normal() + delta
    {body}
    return {{"{metric}": value{change}}}
"""
EXPECTED = """[pytest.param(
    Hypothesis(metric="total", direction="equal", margin=0.2, against=Reference("main"), name="expected"),
    marks=pytest.mark.xfail(reason="known"),
)]"""
DEFAULTS = {
    "replicates": 20,
    "treatments": {"boost": {"delta": 1.0}, "more": {"delta": 2.0}},
    "others": [],
    "keywords": {},
    "body": "",
    "metric": "total",
    "change": "",
}
FILE = "references/main/experiment_a/experiment_total.json"
SAVE = ("--crystallize-save", "main")


@pytest.fixture
def suite(project, monkeypatch):
    """Return a function that writes an experiment; edited within a second, it is not taken from a cache."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return lambda **changes: project.write(SOURCE.format(**{**DEFAULTS, **changes}))


@pytest.fixture
def saved(suite, project):
    """Record the experiment as it is by default."""
    suite()
    project.run("-q", *SAVE).assert_outcomes(skipped=3)
    return project.path / FILE


def values(path):
    """Return what a reference file holds: condition -> metric -> values."""
    return {
        name: {metric: held["values"] for metric, held in condition["metrics"].items()}
        for recording in json.loads(path.read_text(encoding="utf-8"))["recordings"]
        for name, condition in sorted(recording["conditions"].items())
    }


def references(project):
    """Return the files below ``references`` anywhere, as the project sees them."""
    found = (path.relative_to(project.path).as_posix() for path in project.path.rglob("*.json"))
    return sorted(path for path in found if ".pytest_cache" not in path)
