"""What a stored run has to prove beside its own code: the process, files, installed modules, memos."""

# ruff: noqa: E501 - lines of projects under test

import os
import subprocess
import sys
from string import Template

import pytest

from plugin.conftest import HANGS, edited
from plugin.records.conftest import cached, digests, experiment, hits

QUIET = ("-o", "crystallize_cache_verify=0")


def text_of(result):
    """Return what a session printed, its lines joined."""
    return " ".join(line.strip() for line in result.outlines)


OVERFLOWS = """
@pytest.mark.experiment(replicates=7, treatments={"t": {"delta": 5.0}}, hypotheses=[Hypothesis(metric="y", direction="increase")])
def experiment_total(rng, replicate, delta=0.0):
    size = np.float64(1e308 if replicate == 3 else 1.0) * 10
    return {"y": rng.normal() + delta + 0 * float(size > 1)}
"""


@pytest.mark.slow
def test_what_a_conftest_does_when_it_is_loaded_counts(project):
    """An edit of a process-wide setting runs again; one of a comment does not."""
    project.write(OVERFLOWS)
    source = "import numpy as np\n\nnp.seterr(over='ignore')\n"
    project.raw("conftest.py", source)
    project.run_apart("-W", "ignore").assert_outcomes(passed=1)
    project.raw("conftest.py", "# a comment\n" + source)
    assert hits(project.run_apart("-W", "ignore")) == 14
    project.raw("conftest.py", edited(source, "ignore", "raise"))
    for _ in range(2):
        project.run_apart("-W", "ignore").assert_outcomes(failed=1)


LOOKUP = """
import json
from functools import lru_cache


@lru_cache
def weights():
    return json.loads(open("weights.json").read())
"""


@pytest.mark.slow
def test_files_that_the_project_opened_before_count(project):
    """A memo that a plain test has filled is as good as the file it was read from."""
    project.raw("lookup.py", LOOKUP)
    project.raw("test_lookup.py", "import lookup\ndef test_weights():\n    assert lookup.weights()\n")
    project.write("import lookup\n" + experiment("delta *= lookup.weights()['new']"))
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


class Apart:
    """An environment of its own that has all packages of this one: others' site-packages stay as they are.

    Attributes
    ----------
    packages : Path
        Its site-packages.
    """

    def __init__(self, home, project):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
        (self.packages,) = home.glob("[Ll]ib/**/site-packages")
        shared = [path for path in sys.path if path.endswith("-packages")]  # the user's, too
        lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in shared)
        (self.packages / "shared.pth").write_text(lines)
        self._python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
        self._run = project.pytester.run

    def run(self, *args):
        """Run pytest with --crystallize in it."""
        return self._run(
            self._python, "-m", "pytest", "--crystallize", "-p", "no:randomly", *args, timeout=HANGS
        )


@pytest.fixture
def apart(project, tmp_path_factory):
    """Return an environment of its own."""
    return Apart(tmp_path_factory.mktemp("environment"), project)


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_what_is_opened_too_early_to_be_noted_is_not_known(project, early):
    """By a plugin that an option names; that of a conftest is loaded later."""
    project.write(experiment("import fractions; delta += fractions.rate"))
    project.raw("shop.py", "import fractions\nfractions.rate = float(open('rate').read())\n")
    project.raw("conftest.py", "" if early else "pytest_plugins = ['shop']\n")
    project.ini("addopts = -p shop\n" if early else "")
    for rate in ("1", "2"):
        project.raw("rate", rate)
        result = project.run_apart()
        assert ("since shop was loaded too early to see what it opens (open)" in text_of(result)) is early
        assert hits(result) == 0
    assert hits(project.run_apart()) == (0 if early else 10)


@pytest.mark.slow
def test_loaded_files_of_site_packages_count(project, apart):
    """Whichever distribution they belong to, or none."""
    loose = apart.packages / "loose.py"
    project.write("import loose\n" + experiment("delta *= loose.factor()"))
    loose.write_text("def factor(): return 1.0\n")
    apart.run().assert_outcomes(passed=1)
    assert hits(apart.run()) == 10
    loose.write_text("def factor(): return -1.0\n")
    for _ in range(2):
        apart.run(*QUIET).assert_outcomes(failed=1)


MEMO = """
import functools

@functools.cache
def answer(prompt):
    return random.gauss(0, 1)

@pytest.mark.experiment(replicates=10, treatments={"t": {"prompt": "b"}})
def experiment_total(prompt="a"):
    return {"score": answer(prompt)}
"""


@pytest.mark.slow
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


@pytest.mark.parametrize("cache", ["off", "reuse"])
def test_state_that_outlives_a_run_is_told(project, cache):
    """Runs that depend on those before them are named, also where nothing is stored."""
    project.write(GENERATOR)
    result = project.run("--crystallize-cache", cache)
    assert "runs depend on those before them" in text_of(result)
    assert "experiment_a.NOISE" in text_of(result)


@pytest.mark.slow
def test_names_in_a_directory_count(project):
    """A run that lists a directory of the project is impure unless a pattern says so."""
    project.raw("data/1.csv", "1")
    body = "delta += len(os.listdir('data'))"
    project.write(experiment(body))
    for _ in range(2):
        result = project.run()
        assert hits(result) == 0
    assert "run each time: listed data, which is not declared in inputs=" in text_of(result)
    project.write(experiment(body, inputs=["data/*.csv"]))
    project.run_apart()
    assert hits(project.run_apart()) == 10
    project.raw("data/2.broken", "")
    assert hits(project.run_apart()) == 0
    assert hits(project.run_apart()) == 10


@pytest.mark.slow
def test_directories_of_tools_are_looked_through_in_vain(project):
    """Code that looks for files of the project meets what Python, git and pytest keep beside them."""
    project.raw("parts/__pycache__/one.pyc", "")
    project.raw(".git/objects/00/1", "")
    project.write("from pathlib import Path\nFOUND = sorted(Path('.').rglob('*.toml'))\n" + experiment())
    project.run()
    project.raw("parts/__pycache__/two.pyc", "")
    project.raw(".git/objects/00/2", "")
    assert hits(project.run()) == 10
    project.raw("parts/one.toml", "")
    assert hits(project.run()) == 0


STEP = """
@pipeline_step(cacheable=True)
def features(data, ctx, *, delta=0.0):
    import importlib.metadata
    importlib.metadata.entry_points(group="x")
    return ctx.rng.normal() + delta

@pipeline_step()
def score(data, ctx):
    return data, {"total": data}

def experiment_total():
    return Experiment(0, [features, score], treatments=[Treatment("boost", {"delta": 3.0})], replicates=5)
"""


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_order_of_a_set_is_told(project, monkeypatch):
    """Unless the hash seed is set, a set of texts that is walked through has another order each time."""
    project.write(VOCABULARY)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    result = project.run_apart("--crystallize-cache=off")
    assert "experiment_a.WORDS" in text_of(result)
    assert "PYTHONHASHSEED" in text_of(result)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert "PYTHONHASHSEED" not in text_of(project.run_apart("--crystallize-cache=off"))


@pytest.mark.slow
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


def measured(delay=5.0, **declared):
    """Return an experiment that claims something of what it measures."""
    claims = '[Hypothesis(metric="took", direction="increase")]'
    return experiment(
        "ctx.metrics.add('took', delay + rng.random(), measured=True)",
        treatments={"slow": {"delay": delay}},
        hypotheses=claims,
        arguments="ctx, rng, delay=0.0",
        **declared,
    )


@pytest.mark.slow
def test_a_cache_key_vouches_for_what_was_measured(project):
    """Its values are used in whole pairs of one session, with their date; elsewhere they are measured anew."""
    project.write(measured(cache_key="'v1'"))
    project.run()
    result = project.run()
    assert hits(result) == 10
    result.stdout.re_match_lines([r"  measured on \d{4}-\d\d-\d\d$"])
    project.write(measured(6.0, cache_key="'v1'"))
    assert hits(project.run()) == 0  # the baseline's are those of another session
    assert hits(project.run()) == 10
    project.write(measured())
    for _ in range(2):
        result = project.run()
    assert hits(result) == 0
    assert "run each time: a hypothesis is about a measured metric" in text_of(result)


@pytest.mark.slow
def test_a_cache_key_vouches_for_artifacts(project):
    """A stored run stands for one that wrote some, unless somebody reads them."""
    writes = {"lines": "ctx.artifacts.add('a.bin', b'1')", "arguments": "ctx, rng"}
    project.write(experiment(**writes, cache_key="'v1'"))
    project.run()
    assert hits(project.run()) == 10
    project.write(experiment(**writes))
    for _ in range(2):
        result = project.run()
    assert hits(result) == 0


NETWORK = Template("""
@pipeline_step(cacheable=True)
def asked(data, ctx):
    import socket
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()
    print("asked")
    return ctx.rng.random()

@pipeline_step()
def total(data, ctx, *, delta=0.0):
    return data, {"total": data + delta}

def experiment_total():
    return Experiment(0, [asked, total], treatments=[Treatment("boost", {"delta": 3.0})], replicates=3, $key)
""")


@pytest.mark.parametrize(("keys", "expected"), [(("cache_key='v1'", "cache_key='v2'"), 3), (("", ""), 0)])
def test_a_cache_key_vouches_for_steps_that_use_the_network(project, keys, expected):
    """Their results are stored, under the key."""
    steps = project.path / ".pytest_cache/d/crystallize/steps"
    for number, key in enumerate(keys, start=1):
        project.write(NETWORK.substitute(key=key))
        project.run()
        assert len(list(steps.rglob("*.value"))) == number * expected


UNSTEADY = Template("""
@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 0.5}} $more)
def experiment_total(gain=0.0):
    return {"score": gain + int.from_bytes(os.urandom(4), "big")}
""")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_runs_that_do_not_repeat_are_told_and_not_stored(project, workers):
    """Whatever the verbosity: experiment, replicate, condition, metric, both values and usual causes."""
    project.write(UNSTEADY.substitute(more=""))
    for _ in range(2):
        result = project.run_apart("-q", f"-n{workers}")
        assert result.ret == 0
        text = text_of(result)
        assert text.count("experiment_total does not repeat: metric 'score' in replicate") == 1
        assert "PYTHONHASHSEED" in text
    assert hits(project.run_apart("-v", f"-n{workers}")) == 0


def test_runs_that_do_not_repeat_can_be_errors(project):
    """If the ini file says so; of values without sense it is said."""
    project.write(UNSTEADY.substitute(more=""))
    project.ini("crystallize_repeatable = error\n")
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "INVALID: experiment_total does not repeat" in text_of(result)
    project.ini("crystallize_repeatable = never\n")
    assert "crystallize_repeatable: 'never' is none of note, error" in project.run().stderr.str()


def test_what_only_the_first_run_finds_undone_is_told(project):
    """It is made again, since all later ones agree."""
    project.write(
        """
        import threading
        LOCK = threading.Lock()

        @pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 0.5}})
        def experiment_total(gain=0.0):
            return {"score": gain + float(LOCK.acquire(blocking=False))}
        """
    )
    assert "experiment_total does not repeat: metric 'score' in replicate 0" in text_of(project.run())


def test_an_experiment_that_cannot_repeat_says_so(project):
    """Then nothing is stored, and nothing told."""
    project.write(UNSTEADY.substitute(more=", repeatable=False"))
    project.ini("crystallize_repeatable = error\n")
    for _ in range(2):
        result = project.run()
        result.assert_outcomes(passed=1)
        assert hits(result) == 0
    assert "does not repeat" not in text_of(result)
    assert "run each time: it is declared repeatable=False" in text_of(result)


def loads(replicates=5, first="pass"):
    """Return an experiment with a memo that always loads the same."""
    return f"""
import functools

@functools.lru_cache
def table():
    {first}
    return [1.0, 2.0, 3.0]

@pytest.mark.experiment(replicates={replicates}, treatments={{"t": {{"delta": 5.0}}}})
def experiment_total(rng, delta=0.0):
    return {{"y": rng.choice(table()) + delta}}
"""


@pytest.mark.slow
def test_a_memo_that_only_loads_is_stored(project):
    """A later run, made again with an empty memo, gave the same."""
    project.write(loads())
    cold = project.run_apart("-v")
    assert "note" not in cold.stdout.str()
    assert hits(project.run_apart("-v")) == 10


@pytest.mark.slow
def test_a_memo_that_no_later_run_has_used_is_not_stored(project):
    """There is nothing to tell whether the next run would have filled it in the same way."""
    project.write(loads(replicates=1))
    for _ in range(2):
        result = project.run_apart("-v")
        assert hits(result) == 0
    assert "experiment_a.table" in text_of(result)


FILLED = Template("""
import functools

class Model:
    @functools.cached_property
    def table(self):
        return [1.0, 2.0, 3.0]

MODEL, _CACHE = Model(), {}
_SAME = _CACHE
_ROWS = [{"id": number} for number in range(9)]

def table():
    if "table" not in _CACHE:
        _CACHE["table"] = [1.0, 2.0, 3.0]
    return _CACHE["table"]

def drawn(gain):
    return _CACHE.setdefault(gain, random.random())

def counted():
    _CACHE["calls"] = _CACHE.get("calls", 0) + 1
    return 0.0

@pytest.mark.experiment(replicates=5, treatments={"t": {"gain": 5.0}})
def experiment_total(rng, gain=0.0):
    return {"y": rng.random() + gain + $expression}
""")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "kept"),
    [
        pytest.param("rng.choice(MODEL.table)", True, marks=pytest.mark.slow),
        ("rng.choice(table()) + len(_SAME)", True),
        pytest.param("drawn(gain)", False, marks=pytest.mark.slow),
        ("counted()", False),
        ("rng.choice(_ROWS[3].setdefault('table', [1.0, 2.0, 3.0]))", True),
        ("_ROWS[3].setdefault(str(gain), random.random())", False),
        pytest.param(
            "0 * len(_CACHE.setdefault('seen', {}).setdefault(rng.random(), 'x'))",
            False,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_runs_fill_and_never_change_is_stored(project, expression, kept):
    """A dictionary or a cached property, if a later run gives the same without what earlier ones left."""
    project.write(FILLED.substitute(expression=expression))
    cold = project.run_apart("-v")
    assert any(name in text_of(cold) for name in ("experiment_a._CACHE", "experiment_a._ROWS")) is not kept
    assert hits(project.run_apart("-v")) == 10 * kept


OUTSIDE = Template("""
import decimal, fractions, logging, scipy

def patched(value):
    if not hasattr(fractions, "shop_rate"):
        fractions.shop_rate = value
    return fractions.shop_rate

def precise(value):
    decimal.getcontext().prec = 9 + int(value) % 9
    return decimal.getcontext().prec

def told(value):
    logging.getLogger("shop").setLevel(10 + int(value))
    return logging.getLogger("shop").level

def kept(value):
    return float(os.environ.setdefault("SHOP_RATE", str(value)))

@pytest.fixture(scope="session")
def once():
    fractions.Fraction.shop_rate = 1.0

@pytest.mark.experiment(replicates=3, treatments={"t": {"gain": 5.0}})
def experiment_total(rng, once, gain=0.0):
    return {"y": rng.random() + gain + fractions.Fraction.shop_rate + $expression}
""")
SETTING = ("patched", "precise", "told", "kept")


@pytest.mark.slow
@pytest.mark.parametrize(
    "function", [SETTING[0], *(pytest.param(f, marks=pytest.mark.slow) for f in SETTING[1:])]
)
def test_what_runs_set_of_their_process_is_stored_if_all_set_the_same(project, function):
    """Attributes of what is installed, settings, and variables of the environment."""
    project.write(OUTSIDE.substitute(expression=f"{function}(1.0) / len(str(scipy.stats))"))
    assert "note" not in text_of(project.run_apart("-v"))
    assert hits(project.run_apart("-v")) == 6  # it says why, if not


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "named"),
    [
        ("patched", "fractions.shop_rate changed"),
        pytest.param("kept", "os.environ['SHOP_RATE'] changed", marks=pytest.mark.slow),
        pytest.param("told", "levels of loggers changed", marks=pytest.mark.slow),
    ],
)
def test_what_runs_set_of_their_process_is_told_if_they_set_something_else(project, function, named):
    """The first run decided for all, or each leaves something else to the next; nothing is stored."""
    project.write(OUTSIDE.substitute(expression=f"{function}(os.urandom(1)[0])"))
    assert named in text_of(project.run_apart("-v"))
    assert hits(project.run_apart()) == 0


@pytest.mark.slow
def test_the_directory_of_a_session_counts(project):
    """Names of files may be relative to it."""
    project.raw("data/rate.txt", "1")
    project.raw("inner/data/rate.txt", "2")
    project.ini("testpaths = .\n")
    project.write(experiment("delta *= float(open('data/rate.txt').read())", inputs=["data/*"]))
    project.run_apart()
    assert hits(project.run_apart()) == 10
    project.pytester.chdir()
    os.chdir("inner")
    assert "run each time: opened" in text_of(project.run_apart("--rootdir=..", "-c../pytest.ini", ".."))


@pytest.mark.slow
def test_what_python_executes_when_it_starts_counts(project, apart):
    """Lines of code in files of paths, which belong to no distribution."""
    path = apart.packages / "shop.pth"
    project.write(experiment("delta *= getattr(sys, 'shop_rate', 1.0)"))
    path.write_text("import sys; sys.shop_rate = 1.0\n")
    apart.run().assert_outcomes(passed=1)
    assert hits(apart.run()) == 10
    path.write_text("import sys; sys.shop_rate = -1.0\n")
    apart.run(*QUIET).assert_outcomes(failed=1)


@pytest.mark.slow
def test_a_slow_memo_is_stored_once_a_later_run_can_be_made_again(project):
    """The first runs are held back until then."""
    project.write(loads(first="import time; time.sleep(0.15)"))
    project.run()
    assert hits(project.run()) == 10
