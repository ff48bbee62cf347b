"""Stored runs: what is taken from earlier sessions, and what edits have run again."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import json
import re
import subprocess
import sys
from pathlib import Path
from string import Template

import pytest

from plugin.conftest import HANGS, PRELUDE, TOTAL, edited, properties
from plugin.records.conftest import cached, digests, experiment, hits


@pytest.mark.slow
@pytest.mark.parametrize("second", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_cold_and_warm_sessions_agree(project, first, second):
    """Whoever runs and whoever reads: all runs are stored, and digests and verdicts are the same."""
    project.write(experiment())
    cold = project.run_apart("-v", f"-n{first}")
    warm = project.run_apart("-v", f"-n{second}")
    assert hits(cold) == 0
    found, runs, verified = cached(warm)["total"]
    assert (found, runs) == (10, 10)
    assert verified >= 1
    assert digests(cold) == digests(warm)
    warm.stdout.fnmatch_lines(["*SUPPORTED p=* (cached)*"])
    assert "(cached)" not in cold.stdout.str()


def test_modes(project):
    """Option refresh runs and stores again, off neither reads nor stores; the ini file says it too."""
    project.write(experiment())
    off = project.run("-v", "--crystallize-cache=off")
    assert hits(project.run("-v")) == 0
    refreshed = project.run("-v", "--crystallize-cache", "refresh")
    assert hits(refreshed) == 0
    assert digests(refreshed) == digests(off)
    assert hits(project.run("-v", "--crystallize-cache", "off")) == 0
    project.ini("crystallize_cache = off\n")
    assert hits(project.run()) == 0
    assert hits(project.run("--crystallize-cache=reuse")) == 10
    project.ini("crystallize_cache = sometimes\n")
    result = project.run()
    assert result.ret == 4
    assert "'sometimes' is none of reuse, refresh, off" in result.stderr.str()


@pytest.mark.parametrize("variable", ["TMPDIR", "PYTEST_DEBUG_TEMPROOT"])
def test_runs_with_temporary_directories_are_stored(project, tmp_path_factory, monkeypatch, variable):
    """The first one of a session, unless --basetemp names it, has pytest list those of earlier ones."""
    body = "(tmp_path / 'a').write_text('1')\nassert [p.read_text() for p in tmp_path.iterdir()] == ['1']"
    project.write(experiment(body, arguments="rng, tmp_path"))
    monkeypatch.delenv("PYTEST_DEBUG_TEMPROOT")
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("system")))
    if variable != "TMPDIR":
        (project.path / "elsewhere").mkdir()
        monkeypatch.setenv(variable, str(project.path / "elsewhere"))
    modes = ("off", "reuse", "reuse")
    told = [
        project.start("-n0", f"--crystallize-cache={mode}").communicate(timeout=HANGS)[0] for mode in modes
    ]
    assert "run each time" not in told[1]
    assert "  10 of 10 runs from cache" in told[2]


@pytest.mark.slow
def test_clearing_and_no_cache_provider(project):
    """--cache-clear forgets all runs; without pytest's cache there is none."""
    project.write(experiment())
    project.run("-p", "no:cacheprovider")
    assert hits(project.run()) == 0
    assert hits(project.run()) == 10
    assert hits(project.run("-p", "no:cacheprovider")) == 0
    assert hits(project.run("--cache-clear")) == 0
    assert hits(project.run()) == 10


def test_growing_runs_the_rest(project):
    """From 12 replicates to 30, 18 of each condition are run."""
    project.write(experiment())
    project.run("--crystallize-replicates=12")
    result = project.run("--crystallize-replicates=30", "-v")
    assert cached(result)["total"][:2] == (24, 60)
    fresh = project.run("--crystallize-replicates=30", "-v", "--crystallize-cache=off")
    assert digests(result) == digests(fresh)


EDITED = {
    "experiment_a.py": PRELUDE
    + """
import helpers

@pytest.mark.experiment(
    replicates=5,
    treatments={"boost": {"delta": 3.0}, "more": {"delta": 4.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase", alpha=0.05)],
)
def experiment_total(rng, scale, level, delta=0.0, extra=0):
    return {"total": helpers.clean(rng.normal() + scale * level + delta * rng.uniform(0.5, 1.5) + extra)}

@pytest.fixture
def scale():
    return 2
""",
    "conftest.py": """
import pytest

@pytest.fixture(scope="session")
def level():
    return 1

@pytest.fixture(autouse=True)
def always():
    yield
""",
    "helpers.py": (
        "FAST, SLOW = object(), object()\nMODE = FAST\n\ndef clean(x):\n    return x if MODE is FAST else x + 1\n"
    ),
}
EDITS = {
    "body": ("experiment_a.py", "+ extra)", "+ extra + 1)", 0, "experiment_a.experiment_total changed"),
    "helper": ("helpers.py", "return x", "return x + 1", 0, "helpers.clean changed"),
    "which of two objects": (
        "helpers.py",
        "MODE = FAST",
        "MODE = SLOW",
        0,
        "what helpers.FAST and helpers.MODE share is gone",
    ),
    "fixture": ("experiment_a.py", "return 2", "return 3", 0, "experiment_a.scale changed"),
    "conftest": ("conftest.py", "return 1", "return 5", 0, "conftest.level changed"),
    "autouse": ("conftest.py", "    yield", "    print()\n    yield", 0, "conftest.always changed"),
    "default": ("experiment_a.py", "extra=0", "extra=2", 0, "experiment_a.experiment_total changed"),
    "treatment": ("experiment_a.py", "4.0", "5.0", 10, "treatment more changed"),
    "treatment's name": ("experiment_a.py", '"more"', '"most"', 10, None),
    "another treatment": ("experiment_a.py", '{"delta": 4.0}', '{"delta": 4.0}, "x": {"extra": 9}', 15, None),
    "alpha": ("experiment_a.py", "alpha=0.05", "alpha=0.04", 15, None),
    "hypothesis": ("experiment_a.py", '"increase"', '"differ"', 15, None),
    "replicates": ("experiment_a.py", "replicates=5", "replicates=4", 12, None),
    "comment": ("helpers.py", "def", "# a comment\n\ndef", 15, None),
}
QUICK = {"helper", "which of two objects", "fixture", "treatment"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit", [edit if edit in QUICK else pytest.param(edit, marks=pytest.mark.slow) for edit in EDITS]
)
def test_an_edit_reruns_what_it_concerns(project, edit):
    """Each edit has exactly those conditions run again that it could change, and -vv says what it was."""
    for name, text in EDITED.items():
        project.raw(name, text)
    project.run_apart()
    name, old, new, expected, said = EDITS[edit]
    assert EDITED[name].count(old) == 1
    project.raw(name, edited(EDITED[name], old, new))
    result = project.run_apart("-vv")
    assert hits(result) == expected
    told = " ".join(line.strip() for line in result.outlines)
    assert said is None or f"recomputed: {said}" in told
    assert said is not None or "recomputed" not in told


@pytest.mark.slow
def test_seed_parameters_and_environment(project, monkeypatch):
    """Another root seed, parameter or declared variable is another run; what was stored before counts again."""
    project.write(
        experiment(above="@pytest.mark.parametrize('depth', [1, 2])", env=["SIZE"], arguments="rng, depth")
    )
    project.run()
    assert {name: n for name, (n, _, _) in cached(project.run()).items()} == {"total[1]": 10, "total[2]": 10}
    assert hits(project.run("--crystallize-seed=1"), "total[1]") == 0
    project.run()
    monkeypatch.setenv("SIZE", "3")
    result = project.run("-vv")
    assert hits(result, "total[1]") == 0
    result.stdout.fnmatch_lines(["  recomputed: environment variable SIZE changed"])
    monkeypatch.delenv("SIZE")
    assert hits(project.run(), "total[2]") == 10


@pytest.mark.slow
def test_declared_inputs(project):
    """Declared files may be read; when their content changes, or there is another one, runs are run again."""
    project.raw("data/a.csv", "1")
    body = "import pathlib; sum(float(f.read_text()) for f in pathlib.Path('data').glob('*.csv'))"
    project.write(experiment(body, inputs=["data/*.csv"]))
    project.run()
    assert hits(project.run()) == 10
    project.raw("data/a.csv", "2")
    result = project.run("-vv")
    assert hits(result) == 0
    result.stdout.fnmatch_lines(["  recomputed: input data/a.csv changed"])
    project.raw("data/b.csv", "2")
    assert hits(project.run()) == 0
    project.raw("data/a.csv", "1")
    (project.path / "data/b.csv").unlink()
    assert hits(project.run()) == 10
    project.write(experiment(body, inputs=["data/*.txt"]))
    result = project.run()
    assert hits(result) == 0
    assert "run each time: inputs= 'data/*.txt' names no file" in result.stdout.str()


RANDOM = """
@pytest.mark.experiment(replicates=5, treatments={"boost": {"delta": 3.0}}, hypotheses=[Hypothesis(metric="total", direction="increase")])
def experiment_total(rng, delta=0.0):
    return {"other": 1, "total": float(os.environ.get("CHANCE", 0)) + delta}
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_result_that_does_not_repeat_is_an_error(project, workers, monkeypatch):
    """The run that is verified names the metric and both values, and the verdict is INVALID."""
    project.write(RANDOM)
    project.run()
    monkeypatch.setenv("CHANCE", "0.5")
    result = project.run_apart(f"-n{workers}")
    result.assert_outcomes(failed=1)
    text = " ".join(line.strip() for line in result.outlines)
    assert re.search(
        r"metric 'total' in replicate \d of '(boost|baseline)' is total = \d\.5, but an earlier run of the same code stored total = \d\.0",
        text,
    )
    assert "INVALID" in text
    result.stdout.fnmatch_lines(["*in verification of the cache:"])


def test_verification_can_be_switched_off(project):
    """With crystallize_cache_verify = 0 no run is repeated; of values without sense it is said."""
    project.write(RANDOM)
    project.ini("crystallize_cache_verify = 0\n")
    project.run()
    assert cached(project.run())["total"] == (10, 10, 0)
    project.ini("crystallize_cache_verify = 2\n")
    result = project.run()
    assert result.ret == 4
    assert "crystallize_cache_verify: '2' is not a number from 0 to 1" in result.stderr.str()


@pytest.mark.slow
def test_measured_metrics(project):
    """A claim about a measured metric is never decided on stored runs; beside one, stored runs are used."""
    measures = {"lines": "ctx.metrics.add('took', rng.random(), measured=True)", "arguments": "ctx, rng"}
    project.write(experiment(**measures))
    project.run()
    assert hits(project.run()) == 10
    claimed = '[Hypothesis(metric="took", direction="differ")]'
    project.write(experiment(**measures, hypotheses=claimed))
    result = project.run()
    assert hits(result) == 0
    assert "run each time: a hypothesis is about a measured metric" in result.stdout.str()


FACTORY = Template("""
@pipeline_step()
def step(data, ctx, *, delta=0.0, scale=1):
    return data, {"total": scale * (ctx.rng.normal() + delta) + len(data)}

class Counting(BasePlugin):
    def after_step(self, experiment, step, data, ctx):
        pass

@data_source
def source(ctx):
    return [1, 2]

def experiment_total():
    return Experiment(
        source, [step(scale=2)], $plugins,
        name="title", treatments=[Treatment("boost", {"delta": 3.0})],
        hypotheses=[Hypothesis(metric="total", direction="increase")], initial_ctx={"k": 1}, replicates=5,
    )
""")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"title"', '"another title"', 10),
        ("experiment_total", "experiment_renamed", 10),
        ("scale=2", "scale=3", 0),
        ("3.0", "4.0", 5),
        ("[1, 2]", "[1, 2, 3]", 0),
        ('"k": 1', '"k": 2', 0),
        ("[]", "[SeedPlugin(seed_fn=random.seed)]", 0),
        ("[]", "[SeedPlugin(seed=1)]", 0),
        ("[]", "[LoggingPlugin()]", 10),
    ],
)
def test_edits_of_a_factory(project, old, new, expected):
    """Parameters, data, seeding and context count; titles and names do not."""
    source = FACTORY.substitute(plugins="[]")
    project.write(source)
    project.run()
    project.write(edited(source, old, new))
    result = project.run()
    (found,) = cached(result).values()
    assert found[0] == expected


@pytest.mark.slow
def test_hooks_around_runs(project):
    """A stored run would not call a plugin's hooks, so there is none; unless a cache_key says so."""
    project.write(FACTORY.substitute(plugins="[Counting()]"))
    project.run()
    result = project.run()
    assert hits(result) == 0
    assert "run each time: Counting.after_step is a hook around runs" in " ".join(result.outlines)
    project.write(FACTORY.substitute(plugins="[Counting()], cache_key='v'"))
    project.run()
    assert hits(project.run()) == 10


@pytest.mark.slow
def test_hooks_that_are_set(project):
    """A factory may also set the plugins of what it has made."""
    source = FACTORY.substitute(plugins="[]").replace("    return Experiment(", "    made = Experiment(")
    project.write(source + "    return made\n")
    project.run()
    project.write(source + "    made.plugins = [*made.plugins, Counting()]\n    return made\n")
    result = project.run()
    assert hits(result) == 0
    assert "run each time: Counting.after_step is a hook around runs" in " ".join(result.outlines)


@pytest.mark.slow
def test_graphs(project):
    """Of a graph, what writes artifacts is run each time; what reads them is stored, under what is upstream."""
    source = """
weights = Artifact.json("weights.json")

@pipeline_step()
def train(data, ctx, *, rate=1.0):
    ctx.artifacts.add("weights.json", [rate * x for x in data])
    return data

@pipeline_step()
def score(data, ctx):
    return data, {"score": sum(data) + ctx.rng.normal()}

def experiment_graph():
    return ExperimentGraph(
        Experiment([1, 2], [train], name="train", outputs=[weights], treatments=[Treatment("fast", {"rate": 9.0})]),
        Experiment(weights, [score], name="score", hypothesis=Hypothesis(metric="score", direction="increase"), replicates=6),
    )
"""
    project.write(source)
    project.run_apart("-v")
    result = project.run_apart("-v")
    assert cached(result)["graph: score"][:2] == (12, 12)
    assert cached(result)["graph: train"][0] == 0
    project.write(edited(source, "rate * x", "rate * x + 1"))
    assert cached(project.run_apart())["graph: score"][0] == 0


def test_early_stopping(project):
    """Stored runs are used up to the look that decides, and the verdict is that of a cold session."""
    project.write(
        experiment(stopping="GroupSequential(looks=4)", replicates=40, treatments={"boost": {"delta": 30.0}})
    )
    cold = project.run("-v")
    warm = project.run("-v")
    assert digests(cold) == digests(warm)
    assert cached(warm)["total"][:2] == (20, 20)


@pytest.mark.slow
def test_calibration(project):
    """A/A tests have runs of their own, which are stored as well."""
    project.write(experiment())
    project.run()
    cold = project.run("--crystallize-calibrate=20")
    warm = project.run("--crystallize-calibrate=20")
    assert hits(cold) == 0
    assert cached(warm)["total"][:2] == (200, 200)
    assert hits(project.run()) == 10


def test_a_single_run_is_not_taken_from_the_cache(project):
    """--crystallize-repro runs what it is asked to."""
    project.write(experiment("print('ran')"))
    project.run()
    assert project.run("-s", "--crystallize-repro=2:boost").stdout.str().count("ran\n") == 1


def test_last_failed(project):
    """--lf takes the runs of the failed test from the cache."""
    project.write(experiment(treatments={"boost": {"delta": 3.0}, "none": {"delta": 0.0}}))
    project.run().assert_outcomes(passed=1, failed=1)
    result = project.run("--lf")
    result.assert_outcomes(failed=1)
    assert hits(result) == 10


@pytest.mark.slow
def test_any_hash_seed(project, monkeypatch):
    """Keys do not depend on the order of sets; one that was set by somebody counts."""
    source = "names = {'a', 'b', 'c', 'd', 'e'}\n" + experiment("sorted(names)")
    project.write(source)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    for _ in range(3):
        result = project.run_apart()
    assert hits(result) == 10
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert hits(project.run_apart()) == 0


def test_junit_and_words(project):
    """JUnit says how many runs of a test were stored."""
    project.write(TOTAL)
    project.run()
    project.run("--junit-xml=junit.xml")
    (case,) = project.cases().values()
    assert properties(case)["cached_runs"] == "12"


@pytest.mark.parametrize(
    ("name", "given"),
    [("inputs", "'data'"), ("inputs", "[1]"), ("env", "'SIZE'"), ("cache_key", "''"), ("cache_key", "3")],
)
def test_wrong_declarations(project, name, given):
    """The error says what was given and what is to be given."""
    project.write(experiment(**{name: given}))
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*experiment_a.py:*{name} is *; give *"])


@pytest.mark.slow
def test_the_example_suite(project):
    """All of it comes from the cache the second time."""
    suite = Path(__file__).parents[3] / "example_suite"
    cache = f"cache_dir={project.path / 'cache'}"
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "--crystallize", suite, "-o", cache, "-p", "no:randomly"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout
    lines = [line for line in process.stdout.splitlines() if "from cache" in line]
    assert lines
    assert json.dumps(lines)


MARKED = """
@pytest.mark.rates(1, [2])
@pytest.mark.timeout(60)
@pytest.mark.experiment(replicates=5, treatments={"t": {"delta": 5.0}})
def experiment_total(rng, delta=0.0):
    return {"y": rng.normal() + delta + np.rates[0]}
"""
RATES = """
import numpy as np

def pytest_configure(config):
    config.addinivalue_line("markers", "rates")
    config.addinivalue_line("markers", "timeout")

def pytest_runtest_setup(item):
    np.rates = item.get_closest_marker("rates").args
"""


def test_what_marks_say_counts(project):
    """Hooks and fixtures may do something by it; what pytest and others run tests by changes no run."""
    project.raw("conftest.py", RATES)
    project.write(MARKED)
    assert hits(project.run("-v")) == 0
    project.write(edited(MARKED, "timeout(60)", "timeout(70)"))
    assert hits(project.run("-v")) == 10
    project.write(edited(MARKED, "rates(1, [2])", "rates(3, [2])"))
    result = project.run("-v")
    assert hits(result) == 0
    assert "recomputed: marks changed" in result.stdout.str()
    assert digests(result) == digests(project.run("-v", "--crystallize-cache=off"))


COUNTED = """
import logging

LOG = logging.getLogger("shop")

class Counting(logging.Handler):
    def __init__(self):
        super().__init__()
        self.count, self.last = 0, ""

    def emit(self, record):
        self.count += 1
        self.last = record.getMessage()

HANDLER = Counting()

@pytest.fixture
def logged():
    LOG.addHandler(HANDLER)
    yield
    LOG.removeHandler(HANDLER)

@pytest.mark.experiment(replicates=5, treatments={"t": {"delta": 5.0}})
def experiment_total(rng, logged, delta=0.0):
    LOG.warning("delta is %s", delta)
    return {"y": rng.normal() + delta}
"""


def test_what_a_handler_counts_of_what_is_logged_decides_nothing(project):
    """Runs are stored that move nothing else."""
    project.write(COUNTED)
    assert hits(project.run("-v")) == 0
    assert hits(project.run("-v")) == 10
