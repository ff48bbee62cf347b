"""What a stored run has to prove beside its own code: the process, files, installed modules, memos."""

# ruff: noqa: E501 - lines of projects under test

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from plugin.test_record_cache import cached, digests, experiment, hits

QUIET = ("-o", "crystallize_cache_verify=0")


def text_of(result):
    """Return what a session printed, its lines joined."""
    return " ".join(line.strip() for line in result.outlines)


OVERFLOWS = """
@pytest.mark.experiment(replicates=5, treatments={"t": {"delta": 5.0}}, hypotheses=[Hypothesis(metric="y", direction="increase")])
def experiment_total(rng, replicate, delta=0.0):
    size = np.float64(1e308 if replicate == 3 else 1.0) * 10
    return {"y": rng.normal() + delta + 0 * float(size > 1)}
"""


@pytest.mark.xfail(strict=True)
def test_what_a_conftest_does_when_it_is_loaded_counts(project):
    """An edit of a process-wide setting runs again; one of a comment does not."""
    project.write(OVERFLOWS)
    source = "import numpy as np\n\nnp.seterr(over='ignore')\n"
    project.raw("conftest.py", source)
    project.run_apart("-W", "ignore").assert_outcomes(passed=1)
    project.raw("conftest.py", "# a comment\n" + source)
    assert hits(project.run_apart("-W", "ignore")) == 10
    project.raw("conftest.py", source.replace("ignore", "raise"))
    for _ in range(2):
        project.run_apart("-W", "ignore").assert_outcomes(failed=1)


LOOKUP = """
import json
from functools import lru_cache


@lru_cache
def weights():
    return json.loads(open("weights.json").read())
"""


@pytest.mark.xfail(strict=True)
def test_files_that_the_project_opened_before_count(project):
    """A memo that a plain test has filled is as good as the file it was read from."""
    project.raw("lookup.py", LOOKUP)
    project.raw("test_lookup.py", "import lookup\ndef test_weights():\n    assert lookup.weights()\n")
    project.write("import lookup\n" + experiment("    delta *= lookup.weights()['new']"))
    project.raw("weights.json", '{"new": 1.0}')
    files = ("-v", "test_lookup.py", "experiment_a.py")
    project.run_apart(*files).assert_outcomes(passed=2)
    assert hits(project.run_apart(*files)) == 10
    project.raw("weights.json", '{"new": -1.0}')
    for _ in range(2):
        result = project.run_apart(*files)
        result.assert_outcomes(passed=1, failed=1)
    fresh = project.run_apart(*files, "--crystallize-cache=off")
    assert digests(result)[-1] == digests(fresh)[-1]


@pytest.fixture
def loose_module():
    """Return the path of a module in site-packages that belongs to no distribution."""
    path = Path(sysconfig.get_path("purelib")) / f"crystallize_loose_{os.getpid()}.py"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.xfail(strict=True)
def test_loaded_files_of_site_packages_count(project, loose_module):
    """Whichever distribution they belong to, or none."""
    project.write(f"import {loose_module.stem} as loose\n" + experiment("    delta *= loose.factor()"))
    loose_module.write_text("def factor(): return 1.0\n")
    project.run_apart().assert_outcomes(passed=1)
    assert hits(project.run_apart()) == 10
    loose_module.write_text("def factor(): return -1.0\n")
    for _ in range(2):
        project.run_apart(*QUIET).assert_outcomes(failed=1)


MEMO = """
import functools

@functools.cache
def answer(prompt):
    return random.gauss(0, 1)

@pytest.mark.experiment(replicates=10, treatments={"t": {"prompt": "b"}})
def experiment_total(prompt="a"):
    return {"score": answer(prompt)}
"""


@pytest.mark.xfail(strict=True)
def test_a_memo_of_draws_is_no_stored_run(project):
    """What a run leaves in a memo for the next one is named, and nothing is stored."""
    project.write(MEMO)
    for _ in range(2):
        result = project.run_apart()
        result.assert_outcomes(passed=1)
        assert hits(result) == 0
        assert "experiment_a.answer" in text_of(result)


GENERATOR = """
NOISE = np.random.default_rng(0)

@pytest.mark.experiment(replicates=6, treatments={"t": {"gain": 0.5}})
def experiment_total(gain=0.0):
    return {"score": gain + NOISE.normal()}
"""


@pytest.mark.xfail(strict=True)
@pytest.mark.parametrize("cache", ["off", "reuse"])
def test_state_that_outlives_a_run_is_told(project, cache):
    """Runs that depend on those before them are named, also where nothing is stored."""
    project.write(GENERATOR)
    result = project.run("--crystallize-cache", cache)
    assert "runs depend on those before them" in text_of(result)
    assert "experiment_a.NOISE" in text_of(result)


@pytest.mark.xfail(strict=True)
def test_names_in_a_directory_count(project):
    """A run that lists a directory of the project is impure unless a pattern says so."""
    project.raw("data/1.csv", "1")
    body = "    delta += len(os.listdir('data'))"
    project.write(experiment(body))
    for _ in range(2):
        result = project.run()
        assert hits(result) == 0
    assert "run each time: listed data, which is not declared in inputs=" in text_of(result)
    project.write(experiment(body, "inputs=['data/*.csv']"))
    project.run()
    assert hits(project.run()) == 10
    project.raw("data/2.broken", "")
    assert hits(project.run()) == 0
    assert hits(project.run()) == 10


STEP = """
@pipeline_step(cacheable=True)
def features(data, ctx, *, delta=0.0):
    import importlib.metadata
    [entry.name for entry in importlib.metadata.entry_points()]
    return ctx.rng.normal() + delta

@pipeline_step()
def score(data, ctx):
    return data, {"total": data}

def experiment_total():
    return Experiment(0, [features, score], treatments=[Treatment("boost", {"delta": 3.0})], replicates=5)
"""


@pytest.mark.xfail(strict=True)
@pytest.mark.parametrize("workers", [0, 2])
def test_metadata_of_distributions_are_no_files_of_the_project(project, workers):
    """Nor is what the plugin itself reads while a run is under way."""
    project.raw("src/demo.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    project.raw("src/demo.egg-info/entry_points.txt", "[x]\na = b\n")
    project.ini("pythonpath = src\n")
    project.write(STEP)
    project.run_apart(f"-n{workers}")
    result = project.run_apart(f"-n{workers}")
    assert hits(result) == 10, result.stdout.str()


VOCABULARY = """
WORDS = {"ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"}

@pytest.mark.experiment(replicates=8)
def experiment_total(rng):
    return {"score": dict(zip(WORDS, rng.random(8)))["cat"]}
"""


@pytest.mark.xfail(strict=True)
def test_the_order_of_a_set_is_told(project, monkeypatch):
    """Unless the hash seed is set, a set of texts that is walked through has another order each time."""
    project.write(VOCABULARY)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    result = project.run_apart("--crystallize-cache=off")
    assert "experiment_a.WORDS" in text_of(result)
    assert "PYTHONHASHSEED" in text_of(result)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert "PYTHONHASHSEED" not in text_of(project.run_apart("--crystallize-cache=off"))


@pytest.mark.xfail(strict=True)
@pytest.mark.parametrize(
    ("before", "after"),
    [((), ("-X", "mine=1")), (("-W", "ignore"), ("-W", "error"))],
    ids=["-X", "-W"],
)
def test_options_of_python_count(project, before, after):
    """What is given to Python itself is part of the environment."""
    project.write(experiment())

    def run(*options):
        command = [sys.executable, *options, "-m", "pytest", "--crystallize", "-pno:randomly", "-n0"]
        return project.pytester.run(*command)

    run(*before)
    assert cached(run(*before))["total"][0] == 10
    assert cached(run(*after))["total"][0] == 0
