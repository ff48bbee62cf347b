"""Units of factories on a Dask cluster, under pytest."""

from __future__ import annotations

import os
import re
import signal
import textwrap
import time
from string import Template

import pytest

from plugin.cluster.conftest import FACTORY, TOTAL, digests, factory, on, write
from plugin.conftest import properties, total

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_metrics_and_verdicts_are_those_of_one_process(suite, start_cluster, workers):
    """Bit for bit, whatever drew from which generator, with asserts that pytest has rewritten."""
    write(suite, TOTAL)
    plain = suite.run_apart("-v", "-p", "no:cacheprovider")
    cluster = start_cluster()
    session = suite.run_apart("-v", "-p", "no:cacheprovider", workers, *on(cluster))
    session.assert_outcomes(passed=1)
    assert digests(session) == digests(plain)
    assert session.stdout.str().count(f"factories run on the Dask cluster at {cluster.address}") == 1
    session.stdout.no_fnmatch_line("*not on the cluster*")


def test_units_run_on_all_workers_and_none_here(suite, start_cluster):
    """In blocks."""
    log = suite.path / "log"
    write(
        suite,
        FACTORY
        + f"""
    def experiment_total():
        treatments = [Treatment("boost", {{"delta": 3.0, "seconds": 0.01}})]
        return build(log(path={str(log)!r}), treatments=treatments)
    """,
    )
    cluster = start_cluster()
    suite.run_apart(*on(cluster)).assert_outcomes(passed=1)
    assert {pid for pid, _, _ in suite.log()} == set(cluster.pids)
    assert len(suite.log()) == 24


def test_marked_functions_run_where_they_are(suite, start_cluster):
    """Their fixtures can't travel, and the summary says so."""
    write(
        suite,
        TOTAL + textwrap.indent(total(name="experiment_marked", arguments="rng, tmp_path"), "    "),
    )
    session = suite.run_apart(*on(start_cluster(1)))
    session.assert_outcomes(passed=2)
    session.stdout.fnmatch_lines(
        [
            "ran here, not on the cluster, since the fixtures of a marked*",
            "*experiment_a.py::*experiment_marked*",
        ]
    )


def test_runs_of_the_cluster_are_stored(suite, start_cluster):
    """The next session needs no cluster for them, and one without them finds the same."""
    write(suite, TOTAL)
    cluster = start_cluster()
    suite.run_apart(*on(cluster)).assert_outcomes(passed=1)
    again = suite.run_apart()
    again.stdout.fnmatch_lines(["*24 of 24 runs from cache, * verified*"])
    suite.run_apart(*on(cluster)).stdout.fnmatch_lines(["*24 of 24 runs from cache, * verified*"])


def test_a_killed_worker_changes_no_verdict(suite, start_cluster):
    """Signal 9 in the middle of a run."""
    write(
        suite,
        FACTORY
        + f"""
    @pipeline_step()
    def dies(data, ctx):
        if ctx.replicate == 5 and not Path({str(suite.path / "died")!r}).exists():
            Path({str(suite.path / "died")!r}).touch()
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        return data

    def experiment_total():
        return build(dies)
    """,
    )
    cluster = start_cluster(2)
    session = suite.run_apart("-v", *on(cluster))
    session.assert_outcomes(passed=1)
    session.stdout.fnmatch_lines(["*total: worker tcp://*was lost; what it was*"])
    assert digests(session) == digests(suite.run_apart("-v", "--crystallize-cache=off"))


def test_a_unit_that_kills_two_workers_is_invalid(suite, start_cluster):
    """It is named, and not tried again."""
    log = suite.path / "log"
    write(
        suite,
        FACTORY
        + f"""
    @pipeline_step()
    def dies(data, ctx):
        if ctx.replicate == 5 and ctx.condition == "boost":
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        return data

    def experiment_total():
        return build(log(path={str(log)!r}), dies)
    """,
    )
    session = suite.run_apart(*on(start_cluster(3)))
    session.assert_outcomes(failed=1)
    session.stdout.fnmatch_lines(
        ["*INVALID: 1 of 12 replicates of 'boost' are missing: replicate 5 failed with WorkerDied: 2*"]
    )
    assert [entry[1:] for entry in suite.log()].count([5, "boost"]) == 2


def many_have_ended(suite, session):
    """Wait until 60 runs were begun, of which four blocks of ten may be under way."""
    while len(suite.log()) <= 60:
        assert session.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_lost_scheduler_fails_the_test_and_the_next_session_goes_on(suite, start_cluster, workers):
    """What was finished is stored, and nobody runs the rest here."""
    log, go = suite.path / "log", suite.path / "go"
    write(
        suite,
        FACTORY
        + f"""
    def experiment_total():
        return build(log(path={str(log)!r}, until={str(go)!r}), replicates=80, cache_key="it logs")

    def experiment_other():
        return build()
    """,
    )
    cluster = start_cluster()
    pids = set(cluster.pids)
    session = suite.start(workers, *on(cluster))
    many_have_ended(suite, session)
    cluster.lose_scheduler()
    out, _ = session.communicate()
    go.touch()
    assert session.returncode == 1
    told = rf"INVALID: the Dask scheduler at {cluster.address} was\s+lost; \d+ of 160 runs were done"
    assert re.search(told, out)
    # On workers, the other one may have been done before the scheduler was lost.
    assert "2 failed" in out or (workers == "-n2" and "1 failed, 1 passed" in out)
    assert "INTERNALERROR" not in out
    assert "Traceback" not in out, out
    assert {pid for pid, _, _ in suite.log()} <= pids
    again = suite.run_apart("-v", *on(start_cluster()))
    again.assert_outcomes(passed=2)
    kept = re.search(r"(\d+) of 160 runs from cache", again.stdout.str())
    assert kept is not None
    assert 20 <= int(kept[1]) < 160


def test_early_stopping_decides_as_in_one_process(suite, start_cluster):
    """At the same look; what was queued behind it is cancelled."""
    log = suite.path / "log"
    write(
        suite,
        FACTORY
        + f"""
    def experiment_total():
        return build(log(path={str(log)!r}), replicates=400, stopping=GroupSequential(looks=40),
                     treatments=[Treatment("boost", {{"delta": 3.0, "seconds": 0.002}})])
    """,
    )
    plain = suite.run_apart("-v", "--crystallize-cache=off")
    assert plain.ret == 0
    log.unlink()
    session = suite.run_apart("-v", "--crystallize-cache=off", *on(start_cluster()))
    session.assert_outcomes(passed=1)
    assert digests(session) == digests(plain)
    stopped = [re.search(r"stopped at (\d+) of 400", s.stdout.str())[1] for s in (plain, session)]
    assert stopped[0] == stopped[1]
    assert 2 * int(stopped[0]) <= len(suite.log()) < 800


def test_warnings_skips_errors_and_output_are_those_of_pytest(suite, start_cluster):
    """Filters of warnings hold on workers; a failure shows what it printed; a skip is a skip."""
    suite.ini("filterwarnings =\n    error\n    default:only shown:UserWarning\n")
    write(
        suite,
        FACTORY
        + """
    @pipeline_step()
    def shows(data, ctx):
        warnings.warn("only shown", UserWarning)
        return data

    @pipeline_step()
    def warns(data, ctx):
        print("about to warn")
        logging.getLogger("project").info("replicate %d", ctx.replicate)
        if ctx.replicate == 3:
            warnings.warn("this is an error", FutureWarning)
        return data

    @pipeline_step()
    def skips(data, ctx):
        pytest.skip("not today")

    def experiment_shown():
        return build(shows)

    def experiment_warned():
        return build(warns)

    def experiment_skipped():
        return build(skips)
    """,
    )
    session = suite.run_apart(*on(start_cluster(1)), "--log-level=INFO", "--log-format=%(name)s: %(message)s")
    session.assert_outcomes(passed=1, failed=1, skipped=1, warnings=1)
    session.stdout.fnmatch_lines(
        [
            "*FutureWarning: this is an error*",
            "*Captured stdout*",
            "about to warn",
            "*Captured log*",
            "project: replicate 3",
            "*only shown*",
        ]
    )
    session.stdout.no_fnmatch_line("*Captured stderr*")
    bare = suite.run_apart(*on(start_cluster(1)), "-p", "no:logging", "-k", "warned")
    bare.stdout.fnmatch_lines(["*Captured stdout*", "about to warn"])
    bare.stdout.no_fnmatch_line("*Captured log*")


def test_artifacts_come_home(suite, start_cluster):
    """To the version of the session."""
    write(
        suite,
        FACTORY
        + """
    @pipeline_step()
    def keeps(data, ctx):
        ctx.artifacts.add("a.txt", ctx.condition.encode())
        return data

    def experiment_total():
        return build(keeps, plugins=[ArtifactPlugin("kept")])
    """,
    )
    suite.run_apart(*on(start_cluster(1))).assert_outcomes(passed=1)
    assert len(list((suite.path / "kept").glob("*/v0/replicate_*/*/keeps/a.txt"))) == 24


def test_experiments_of_graphs_run_where_they_are(suite, start_cluster):
    """They read files of one another."""
    write(
        suite,
        FACTORY
        + """
    weights = Artifact.json("weights.json")

    @pipeline_step()
    def train(data, ctx):
        ctx.artifacts.add("weights.json", list(data))
        return data

    @pipeline_step()
    def score(data, ctx, *, delta=0.0):
        return data, {"total": sum(data) + delta * ctx.rng.uniform(0.5, 1.5)}

    def experiment_graph():
        first = Experiment(numbers, [train], name="train", outputs=[weights], replicates=12)
        second = Experiment(weights, [score], name="score", replicates=12,
                            treatments=[Treatment("boost", {"delta": 3.0})],
                            hypotheses=[Hypothesis(metric="total", direction="increase")])
        return ExperimentGraph(first, second)
    """,
    )
    session = suite.run_apart(*on(start_cluster(1)))
    assert session.ret == 0
    session.stdout.fnmatch_lines(["ran here, not on the cluster, since the experiments of a graph*"])


def test_the_ini_option_and_junit(suite, start_cluster):
    """The twin of the option; properties are there as ever."""
    write(suite, TOTAL)
    cluster = start_cluster(1)
    suite.ini(f"crystallize_dask = {cluster.address}\n")
    session = suite.run_apart("--junitxml=junit.xml")
    session.assert_outcomes(passed=1)
    session.stdout.fnmatch_lines([f"*factories run on the Dask cluster at {cluster.address}"])
    (case,) = suite.cases().values()
    assert properties(case)["verdict"] == "supported"


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_scheduler_that_does_not_answer_ends_the_session(suite, workers):
    """Before anything runs, with a status that is no pass."""
    write(suite, TOTAL)
    session = suite.run_apart("--crystallize-dask", "tcp://127.0.0.1:9", *workers)
    assert session.ret == pytest.ExitCode.USAGE_ERROR
    session.stderr.fnmatch_lines(
        ["ERROR: --crystallize-dask: no Dask scheduler answers at 'tcp://127.0.0.1:9'*"]
    )


def test_an_interrupt_ends_the_session_and_keeps_what_is_done(suite, start_cluster):
    """Ctrl-C while the cluster works."""
    log, go = suite.path / "log", suite.path / "go"
    write(
        suite,
        FACTORY
        + f"""
    def experiment_total():
        return build(log(path={str(log)!r}, until={str(go)!r}), replicates=80, cache_key="it logs")
    """,
    )
    cluster = start_cluster()
    session = suite.start(*on(cluster))
    many_have_ended(suite, session)
    os.killpg(session.pid, signal.SIGINT)
    out, _ = session.communicate()
    go.touch()
    assert session.returncode == pytest.ExitCode.INTERRUPTED, out
    again = suite.run_apart("-v", *on(cluster))
    again.assert_outcomes(passed=1)
    kept = re.search(r"(\d+) of 160 runs from cache", again.stdout.str())
    assert kept is not None
    assert 20 <= int(kept[1]) < 160


def test_runs_of_the_cluster_that_do_not_repeat_are_not_stored(suite, start_cluster):
    """Before they are stored, the cluster makes one again."""
    write(
        suite,
        factory(factor='int.from_bytes(os.urandom(2), "big") * helpers.factor()')
        + """
    def experiment_total():
        return build(hypotheses=[])
    """,
    )
    first = suite.run_apart("-q", *on(start_cluster())).stdout.str()
    assert first.count("experiment_total does not repeat: metric 'total' in replicate") == 1
    assert "from cache" not in suite.run_apart("-v", "--crystallize-cache=reuse").stdout.str()


MEMO = Template(
    FACTORY
    + """
    import functools

    @functools.cache
    def table(key):
        return $value

    @pipeline_step()
    def looked_up(data, ctx, *, delta=0.0):
        return data + table(delta)

    def experiment_total():
        return build(looked_up, hypotheses=[])
"""
)


@pytest.mark.parametrize(("value", "kept"), [("1.0", True), ("np.random.default_rng().random()", False)])
def test_memos_of_workers_are_emptied_before_runs_are_stored(suite, start_cluster, value, kept):
    """There, since nobody else could: a memo that only loads is kept, one of draws is not, and named."""
    write(suite, MEMO.substitute(value=value))
    told = " ".join(suite.run_apart("-v", *on(start_cluster(1))).stdout.str().split())
    assert ("runs depend on others of their process: metric 'total'" in told) is not kept
    assert ("with empty memos (experiment_a.table)" in told) is not kept
    again = suite.run_apart("-v", "--crystallize-cache=reuse").stdout.str()
    assert ("24 of 24 runs from cache" in again) is kept


def test_cached_steps_keep_no_run_from_being_stored(suite, start_cluster):
    """What the cache opens for itself is none of the units' doings."""
    write(
        suite,
        FACTORY
        + """
    @pipeline_step(cacheable=True)
    def slowly(data, ctx):
        return data * 2.0

    def experiment_total():
        return build(slowly)
    """,
    )
    suite.run_apart(*on(start_cluster())).assert_outcomes(passed=1)
    suite.run_apart().stdout.fnmatch_lines(["*24 of 24 runs from cache*"])


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:1", "tcp:/127.0.0.1:1", "127.0.0.1", ""])
def test_an_address_that_is_none_is_refused(suite, address):
    """At once."""
    write(suite, TOTAL)
    session = suite.run_apart("--crystallize-dask", address)
    assert session.ret == pytest.ExitCode.USAGE_ERROR
    session.stderr.fnmatch_lines(["*is no address of a Dask scheduler; give one like 'tcp://10.0.0.1:8786'*"])
