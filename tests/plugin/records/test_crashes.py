"""Processes that die, and interrupts: the session ends, names the replicate, and is never green."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import os
import re
import signal
from string import Template

import pytest

from plugin.conftest import ITEM, TOTAL, total

CRASHING = Template("""

import json, signal, subprocess, time

def note(*what):
    with open("log", "a") as log:
        print(json.dumps(what), file=log)

@pytest.mark.experiment(
    replicates=12,
    treatments={"boost": {"delta": 3.0}, "safe": {"other": 3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, replicate, condition, delta=0.0, other=0.0):
    note(replicate, condition, os.getpid())
    if (replicate, condition) == $unit:
        $how
    return {"total": rng.normal() + (delta + other) * rng.uniform(0.5, 1.5)}
""")


def crashing(project, where, how, name="experiment_a.py"):
    project.write(CRASHING.substitute(unit=where, how=how), name)


def check_lost(project, result, replicate, condition, *, passed=1, failed=1):
    """Assert that one unit was lost, that it was run once, and that the rest was told as it is.

    Nothing is run twice but what the process that died had ended last.
    """
    result.assert_outcomes(passed=passed, failed=failed)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            f"INVALID: 1 of 12 replicates of '{condition}' are missing: replicate {replicate} failed with ProcessDied: *"
        ]
    )
    by_unit = {}
    for number, name, process in project.log():
        by_unit.setdefault((number, name), []).append(process)
    assert len(by_unit) == 36
    (dead,) = by_unit.pop((replicate, condition))
    for processes in by_unit.values():  # what the dead process had just run, it may not have handed over
        assert len(processes) == 1 or (len(processes) == 2 and processes[0] == dead)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("replicate", "options"),
    [
        (0, ["--cache-clear"]),
        pytest.param(6, ["--dist=load"], marks=pytest.mark.slow),
        pytest.param(11, ["--dist=worksteal"], marks=pytest.mark.slow),
    ],
    ids=["first, cache cleared", "middle, load", "last, worksteal"],
)
def test_exit_of_the_process(project, replicate, options):
    """os._exit loses its replicate alone, whichever it is; a replacement worker wipes nothing by --cache-clear."""
    crashing(project, (replicate, "boost"), f"os._exit({replicate % 2})")
    result = project.run_workers("--junitxml", "junit.xml", "-v", *options)
    check_lost(project, result, replicate, "boost")
    assert sorted(project.cases()) == ["total_increase[boost]", "total_increase[safe]"]


DYING = """
import contextlib, os, signal

ready = []

def pytest_xdist_node_collection_finished(node):
    ready.append(node)
    if len(ready) == 2:
        os.kill(node.gateway._rinfo().pid, signal.SIGKILL)
        with contextlib.suppress(EOFError):
            node.channel.waitclose(timeout=300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", pytest.param("worksteal", marks=pytest.mark.slow)])
def test_a_worker_that_is_dead_when_it_is_sent_work(project, dist):
    """It is a dead worker like others, with nothing lost: no internal error, and all verdicts."""
    project.write(TOTAL)
    project.raw("conftest.py", DYING)
    result = project.run_workers("--dist", dist)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.fnmatch_lines(["*node down: Not properly terminated*"])
    result.assert_outcomes(passed=1)
    assert result.ret == 0


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["baseline", "boost"])
@pytest.mark.parametrize("dist", ["load", "worksteal"])
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize(("replicate", "code"), [(0, 0), (6, 1), (11, 0)])
def test_exit_everywhere(project, replicate, code, workers, dist, condition):
    """os._exit anywhere, with any code, under any number of workers ends the session as it should."""
    crashing(project, (replicate, condition), f"os._exit({code})")
    result = project.run_workers("--dist", dist, n=workers)
    if condition == "baseline":
        check_lost(project, result, replicate, condition, passed=0, failed=2)
    else:
        check_lost(project, result, replicate, condition)


@pytest.mark.slow
def test_exit_without_restart(project):
    """With --max-worker-restart=0 a crash ends the session with an exit code that is not 0, and names what is missing."""
    crashing(project, (6, "boost"), "os._exit(0)")
    result = project.run_workers("--max-worker-restart=0")
    assert result.ret not in (0, 5)
    assert "replicate 6 of 'boost'" in result.stdout.str()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.slow
def test_exit_of_every_worker_without_restart(project):
    """When every worker has died and none may be restarted, every selected test fails as NOT RUN."""
    project.write(total(arguments="replicate, rng", lines="os._exit(0)") + "\ndef test_other():\n    pass\n")
    result = project.run_workers("--max-worker-restart=0", "-v", "--junitxml", "junit.xml")
    assert result.ret not in (0, 5)
    result.stdout.fnmatch_lines(["*NOT RUN*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert "total_increase[boost]" in project.cases()


@pytest.mark.slow
def test_crash_in_every_replicate(project):
    """An experiment that kills every process that runs it ends after one try per unit."""
    project.write(total(lines="os._exit(1)"))
    result = project.run_workers("--crystallize-replicates=2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: 2 of 2 replicates of 'baseline' are missing*ProcessDied*"])


@pytest.mark.slow
@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_exit_with_other_tests(project, dist):
    """Ordinary tests and other experiments of the session are run and told though a worker dies."""
    crashing(project, (6, "boost"), "os._exit(1)")
    project.write(TOTAL, "experiment_b.py")
    project.raw(
        "test_c.py", "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_c(n):\n    pass\n"
    )
    result = project.run_workers("--dist", dist)
    result.assert_outcomes(passed=22, failed=1)


@pytest.mark.slow
def test_exit_in_an_ordinary_test(project):
    """A crash in an ordinary test is pytest-xdist's to tell, and the experiments are decided all the same."""
    project.write(TOTAL)
    project.raw("test_c.py", "import os\ndef test_c():\n    os._exit(1)\n")
    result = project.run_workers("--junitxml", "junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*worker 'gw*' crashed while running 'test_c.py::test_c'*"])
    assert len(project.cases()) == 2


RERUNS = """
def pytest_handlecrashitem(crashitem, report, sched):
    sched.mark_test_pending(crashitem)
    report.outcome = "rerun"
"""


def test_crash_that_another_plugin_has_run_again(project):
    """A test is run again once, and told once, where pytest-rerunfailures has it run again, too."""
    crashing(project, (6, "boost"), "os._exit(1)")
    project.raw("conftest.py", RERUNS)
    result = project.run_workers("--junitxml", "junit.xml", n=1)
    check_lost(project, result, 6, "boost")
    assert sorted(project.cases()) == ["total_increase[boost]", "total_increase[safe]"]


DIES_ONCE = Template("""
import os

def die():
    try:
        open("died", "x").close()
    except FileExistsError:
        return
    os._exit(0)

def pytest_runtest_teardown(item):
    if $in_a_token and "::block-" in item.nodeid:
        die()

def pytest_sessionfinish(session):
    if not $in_a_token and hasattr(session.config, "workerinput"):
        die()
""")


@pytest.mark.parametrize("in_a_token", [True, False], ids=["token", "end"])
def test_exit_beside_tests_and_replicates(project, in_a_token):
    """Where no test and no replicate tells of a worker that dies, the session fails, all its verdicts given."""
    project.write(TOTAL)
    project.raw("conftest.py", DIES_ONCE.substitute(in_a_token=in_a_token))
    result = project.run_workers()
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*a worker died in no test and no replicate, but in what is*"])
    result.stderr.fnmatch_lines(["crystallize: the exit code is 1, not 0: a worker died in no test*"])


@pytest.mark.slow
def test_kill(project):
    """A kill -9 of a worker loses its replicate alone, also while the user's code has a child process."""
    crashing(project, (3, "boost"), "subprocess.Popen(['sleep', '20']); os.kill(os.getpid(), signal.SIGKILL)")
    check_lost(project, project.run_workers(), 3, "boost")


@pytest.mark.slow
def test_kill_with_a_forked_child(project):
    """A forked child that lives on does not keep its parent's claims."""
    crashing(
        project,
        (3, "boost"),
        "pid = os.fork()\n        if not pid:\n            time.sleep(3); os._exit(0)\n        os.kill(os.getpid(), signal.SIGKILL)",
    )
    check_lost(project, project.run_workers(), 3, "boost")


def interrupted(project, *args):
    """Start a session, send ctrl-C to its processes when a replicate says so, and return exit code and output."""
    fifo = project.path / "ready"
    os.mkfifo(fifo)
    project.write(
        total(
            replicates=50,
            arguments="replicate, condition, rng",
            lines="if (replicate, condition) == (9, 'boost'):\n    import time\n    open('ready', 'w').close()\n    time.sleep(600)",
        )
    )
    process = project.start(*args)
    with fifo.open():  # opens when the replicate does
        pass
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_interrupt(project, workers):
    """Ctrl-C ends the session with a summary of what is known."""
    code, output = interrupted(project, f"-n{workers}")
    assert code == pytest.ExitCode.INTERRUPTED
    assert re.search(r"NOT RUN: 1 selected test without verdict", output)
    assert re.search(r"experiment_total: \d+ of 100 condition runs of 50 replicates are\s+done", output)
    assert "KeyboardInterrupt" in output
    assert "INTERNALERROR" not in output


def test_other_verdicts_of_an_interrupted_session(project):
    """What was decided before an interrupt is shown in its table."""
    project.write(TOTAL)
    project.write(total(lines="raise KeyboardInterrupt"), "experiment_b.py")
    result = project.run(no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*boost *SUPPORTED", "NOT RUN: 1 selected test without verdict"])


def test_guard_over_missing_verdicts(project):
    """A selected hypothesis that another plugin prevents from running fails the session as NOT RUN."""
    project.raw(
        "conftest.py",
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item):
            return True if "boost" in item.nodeid else None
        """,
    )
    project.write(TOTAL)
    result = project.run("-v", "--junitxml", "junit.xml")
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"NOT RUN {ITEM.replace('[', '[[]')}*"])
    assert project.cases()["total_increase[boost]"].find("failure") is not None


@pytest.mark.parametrize("code", ["0", "None"])
def test_exit_by_a_hook(project, code):
    """A session that somebody ends with exit code 0 while verdicts are missing does not end with 0."""
    project.raw(
        "conftest.py",
        f"import pytest\ndef pytest_runtest_setup(item):\n    pytest.exit('enough', returncode={code})\n",
    )
    project.write(TOTAL)
    result = project.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*NOT RUN: 1 selected test without verdict*"])


def test_should_stop(project):
    """A session that is asked to stop says what was not run."""
    project.raw(
        "conftest.py",
        "def pytest_runtest_logreport(report):\n    if report.when == 'call': SESSION[0].shouldstop = 'enough'\nSESSION = []\ndef pytest_sessionstart(session):\n    SESSION.append(session)\n",
    )
    project.write(TOTAL)
    project.write(TOTAL, "experiment_b.py")
    result = project.run()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*NOT RUN: 1 selected test without verdict*"])
