"""The same numbers and verdicts for any number of workers, any scheduler and any order."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import itertools
import os
import re
import signal
import sys

import pytest

from plugin.conftest import TOTAL, edited, total

SUITE = """

@pytest.fixture(scope="module")
def offset():
    return random.random() + np.random.random()

@pytest.fixture
def noise(rng):
    return rng.normal()

@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.experiment(
    replicates=25,
    treatments={"up": {"delta": 1.0}, "down": {"delta": -1.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase"), Hypothesis(metric="drawn", direction="differ")],
)
def experiment_marked(size, offset, noise, ctx, tmp_path, delta=0.0):
    ctx.metrics.add("seconds", 1.0 * os.getpid(), measured=True)
    return {
        "total": size * (noise + delta * ctx.rng.uniform(0.5, 1.5)) + offset,
        "drawn": random.random() + np.random.random() + delta * 0.01 * ctx.rng.normal(),
    }

@resource_factory
def model(ctx):
    return random.random()

@data_source
def numbers(ctx):
    return [random.random(), np.random.random(), ctx.rng.random()]

@pipeline_step()
def add(data, ctx, *, delta=0.0, model=model):
    return [x + delta * ctx.rng.uniform(0.5, 1.5) + model for x in data]

@pipeline_step()
def total(data, ctx):
    return data, {"total": sum(data) + ctx.rng.normal()}

def experiment_factory():
    return Experiment(
        numbers, [add, total], treatments=[Treatment("boost", {"delta": 2.0})],
        hypothesis=Hypothesis(metric="total", direction="increase"), replicates=25,
    )
"""


WORD = re.compile(r"\b(SUPPORTED|REFUTED|INCONCLUSIVE|INVALID|PASSED|FAILED)\b( p\S+)?")


def outcome(result):
    """Return what must not depend on who ran what: digests, and the words with their p-values."""
    assert "INTERNALERROR" not in result.stdout.str()
    digests = sorted(line.strip() for line in result.outlines if line.startswith("  digest"))
    words = {
        re.search(r"\S+\.py::\S+", line)[0]: WORD.search(line)[0]
        for line in result.outlines
        if "%]" in line and "::" in line
    }
    return digests, words


def write(project):
    project.write(SUITE)
    project.write(TOTAL, "experiment_b.py")
    project.raw("test_c.py", "def test_c():\n    pass\n")


def test_same_results(project):
    """Serial, two workers, and two workers that steal in random order agree bit for bit."""
    write(project)
    serial = outcome(project.run("-v", "-p", "no:randomly"))
    assert len(serial[0]) == 4
    assert len(serial[1]) == 11
    assert outcome(project.run_workers("-v")) == serial
    shuffled = project.run_plain("--crystallize", "-v", "--randomly-seed", "3")
    assert outcome(shuffled) == serial
    stolen = project.pytester.runpytest_subprocess(
        "--crystallize", "-v", "-n2", "--dist=worksteal", "--randomly-seed=5"
    )
    assert outcome(stolen) == serial


SCHEDULES = [(1, "load"), *itertools.product([2, 4], ["load", "worksteal", "loadscope", "loadfile"])]
_SERIAL = []


@pytest.fixture
def serial(project):
    """Write the suite, and return what one process gives, which is the same wherever it lies: it is run once."""
    write(project)
    if not _SERIAL:
        _SERIAL.append(outcome(project.run("-v")))
    return _SERIAL[0]


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("workers", "dist"), SCHEDULES)
def test_same_results_everywhere(project, workers, dist, shuffled, serial):
    """Any number of workers, scheduler and order agree bit for bit; each schedule has an order of its own."""
    seed = SCHEDULES.index((workers, dist)) + 1
    options = [f"--randomly-seed={seed}"] if shuffled else ["-p", "no:randomly"]
    result = project.pytester.runpytest_subprocess(
        "--crystallize", "-v", f"-n{workers}", f"--dist={dist}", *options
    )
    assert outcome(result) == serial


def test_selection_changes_no_number(project):
    """The digest of a condition does not depend on which other conditions are run."""
    write(project)

    def digests(*args):
        words = " ".join(
            line for line in project.run("-v", *args).outlines if line.startswith("  digest")
        ).split()
        return {word for word in words if word != "digest"}

    assert digests("-k", "experiment_marked and down and 2") < digests("-k", "experiment_marked and 2")


@pytest.mark.slow
def test_long_replicates_are_shared(project):
    """Replicates are run by more than one worker, though there is but one test, and each but once."""
    project.write(
        total(
            replicates=30,
            arguments="rng, replicate, condition",
            lines="until_both_are_here()\nnote(replicate, condition, os.getpid())",
        )
        + """
import json, time
from pathlib import Path

def until_both_are_here():
    Path(f"here-{os.getpid()}").touch()
    while len(list(Path().glob("here-*"))) < 2:
        time.sleep(0.01)

def note(*what):
    with open("log", "a") as log:
        print(json.dumps(what), file=log)
"""
    )
    result = project.run_workers("-v")
    result.assert_outcomes(passed=1)
    rows = project.log()
    assert len({(replicate, condition) for replicate, condition, _ in rows}) == len(rows) == 60
    assert len({pid for *_, pid in rows}) == 2
    assert "block-" not in result.stdout.str()


SETUPS = """
def pytest_runtest_setup(item):
    with open("setups", "a") as file:
        print(item.nodeid, file=file)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2])
def test_tokens_are_not_set_up_for_nothing(project, n):
    """Of ten tokens of ten short replicates the first runs all; a worker that is alone has none."""
    project.raw("conftest.py", SETUPS)
    project.write(total(replicates=10) + total(name="experiment_other", replicates=10))
    project.run_workers(n=n).assert_outcomes(passed=2)
    setups = (project.path / "setups").read_text().splitlines()
    tokens = sum("::block-" in setup for setup in setups)
    assert len(setups) - tokens == 2
    assert tokens < 20 if n == 2 else not tokens


MANY = """
import time
from pathlib import Path

def made(number):
    @pytest.mark.experiment(replicates=2)
    def experiment(rng):
        return {"total": rng.normal()}
    return experiment

for number in range(40):
    globals()[f"experiment_{number}"] = made(number)

@pytest.fixture(scope="module")
def log():
    with open("log", "a") as log:
        yield log
"""
BOTH = """
Path(f"here-{os.getpid()}").touch()
while len(list(Path().glob("here-*"))) < 2:
    time.sleep(0.01)
"""
SHARED = BOTH + "print(os.getpid(), file=log)\n"


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", "worksteal", "loadscope"])
def test_one_among_many_is_shared_in_the_end(project, dist):
    """There are more experiments than tokens; who has nothing else to run helps the one that is left."""
    project.write(MANY + total(name="experiment_15b", replicates=30, arguments="rng, log", lines=SHARED))
    project.run_workers(f"--dist={dist}").assert_outcomes(passed=41)
    made_by = project.path.joinpath("log").read_text().split()
    assert len(made_by) == 60
    assert len(set(made_by)) == 2


@pytest.mark.slow
def test_nobody_helps_on_where_the_session_is_stopped(project):
    """With `-x`, a worker leaves an experiment of others behind what it has claimed."""
    stop = (
        SHARED
        + """
session = request.config.pluginmanager.getplugin("crystallize-session")
session.settings.exchange.agree("stopped", lambda: "by a run")
"""
    )
    one = total(name="experiment_15b", replicates=200, arguments="rng, log, request", lines=stop)
    project.write(MANY + one)
    project.run_workers().assert_outcomes(passed=41)
    made_by = project.path.joinpath("log").read_text().split()
    assert sorted(made_by.count(pid) for pid in set(made_by)) == [2, 398]


def test_what_is_wider_ends_as_the_last_test_of_a_worker_would(project):
    """Behind all tests are tokens; what a session's fixture raises is an error all the same, and told as such."""
    project.write(
        """
@pytest.fixture(scope="session")
def server():
    yield
    Path(f"ended-{os.getpid()}").touch()
    raise RuntimeError("the server did not end")

from pathlib import Path
"""
        + total(arguments="rng, server")
        + "\ndef test_plain(server):\n    pass\n"
    )
    result = project.run_workers()
    assert result.ret == 1
    ended = len(list(project.path.glob("ended-*")))
    assert ended >= 1
    result.assert_outcomes(passed=2, errors=ended)
    result.stdout.fnmatch_lines(["ERROR experiment_a.py::*RuntimeError: the server did not end"])
    result.stdout.no_fnmatch_line("*block-*")


ENDS = """
import time
from pathlib import Path

@pytest.fixture(scope="module")
def server():
    yield
    Path(f"ended-{os.getpid()}").touch()
    HOW
"""


@pytest.mark.parametrize(
    ("mark", "how"),
    [
        ("xfail", "raise ValueError('no')"),
        ("xfail(strict=True)", "pass"),
        *(
            pytest.param(mark, how, marks=pytest.mark.slow)
            for mark, how in (
                ("xfail", "pytest.xfail('no')"),
                ("xfail", "pass"),
                ("xfail(strict=True)", "raise ValueError('no')"),
                ("xfail(strict=True)", "pytest.xfail('no')"),
            )
        ),
    ],
)
def test_what_is_expected_of_a_verdict_is_expected_of_no_token(project, mark, how):
    """A token that ends well is no XPASS of the mark of its experiment, and one that fails no XFAIL."""
    expected = total(f"@pytest.mark.{mark}", direction="decrease", arguments="rng, server", lines=BOTH)
    project.write(edited(ENDS, "HOW", how) + expected)
    result = project.run_workers()
    assert len(list(project.path.glob("ended-*"))) == 2
    result.assert_outcomes(xfailed=1, errors=0 if how == "pass" else 2)
    assert result.ret == (how != "pass")


@pytest.mark.slow
def test_who_helps_fails_as_a_token_does(project):
    """The error is told of the experiment that was to be helped."""
    project.raw(
        "conftest.py",
        """
        import os
        from pathlib import Path

        def pytest_runtest_setup(item):
            if item.nodeid.endswith("-last::run"):
                Path(f"here-{os.getpid()}").touch()
                Path(f"failed-{os.getpid()}").touch()
                raise RuntimeError("no room for another")
        """,
    )
    project.write(MANY + total(name="experiment_15b", replicates=30, arguments="rng, log", lines=SHARED))
    result = project.run_workers()
    assert result.ret == 1
    failed = len(list(project.path.glob("failed-*")))  # on both, if all is not run as the second comes to it
    assert failed >= 1
    result.assert_outcomes(passed=41, errors=failed)
    result.stdout.fnmatch_lines(["ERROR experiment_a.py::experiment_15b*RuntimeError: no room for another"])


@pytest.mark.slow
def test_workers_are_told_of_a_stop(project):
    """The controlling process tells them."""
    project.raw(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            exchange = session.config.pluginmanager.getplugin("crystallize-session").settings.exchange
            with open(f"stopped-{exchange.worker}", "w") as file:
                print(exchange.agreed("stopped"), file=file)
        """,
    )
    project.write(total(value='{"total": -delta}'))
    for options, said in (["--maxfail=2"], "None"), (["-x"], "by a failure"):
        project.run_workers(*options)
        assert (project.path / "stopped-controller").read_text().strip() == said


@pytest.mark.slow
def test_two_sessions_at_once(project):
    """Two sessions at once in one directory don't touch each other."""
    project.write(total(replicates=30, lines="sum(range(300_000))"))
    processes = [project.start("-n2", "-v", "--crystallize-seed", str(seed)) for seed in (1, 2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for seed, output in zip((1, 2), outputs, strict=True):
        assert f"seed {seed}, " in output
        serial = project.run("-v", "--crystallize-seed", str(seed))
        digest = next(line for line in serial.outlines if line.startswith("  digest"))
        assert digest in output
    assert not list((project.path / ".pytest_cache" / "crystallize-sessions").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no group of processes is ended there")
def test_loop_on_failures(project):
    """--looponfail shows what other sessions show, and waits for changes."""
    project.write(TOTAL)
    with project.start("--looponfail") as process:
        assert process.stdout is not None
        shown = []
        while not any("waiting for changes" in line for line in shown[-1:]):
            shown.append(process.stdout.readline())
            assert shown[-1], "".join(shown)  # it has ended
        os.killpg(process.pid, signal.SIGKILL)  # an interrupt may come where pytest-xdist hears of none
        process.communicate()
    assert any(line.endswith("SUPPORTED\n") for line in shown)
