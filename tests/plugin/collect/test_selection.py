"""Selecting, reordering and stopping, with pytest's own options."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import pytest

from plugin.conftest import ITEM, TOTAL, properties, total


def mixed(correction="none", **changes):
    """Return an experiment of three treatments that notes which conditions it ran."""
    declared = {
        "treatments": {"good": {"delta": 3.0}, "bad": {"delta": -3.0}, "third": {"delta": 4.0}},
        "arguments": "rng, condition, replicate",
        "lines": 'with open("log", "a") as log:\n    print(json.dumps(condition), file=log)',
    }
    return total(above="import json\n", correction=repr(correction), **{**declared, **changes})


ITEMS = [f"experiment_a.py::experiment_total::total_increase[{name}]" for name in ("good", "bad", "third")]


def ran(project):
    """Return which conditions were run how often since the last time."""
    rows = project.log()
    (project.path / "log").unlink(missing_ok=True)
    return {name: rows.count(name) for name in sorted(set(rows))}


def test_every_unit_once(project):
    """Each condition is run once per replicate, however many hypotheses need it."""
    project.write(mixed())
    project.run().assert_outcomes(passed=2, failed=1)
    assert ran(project) == {"baseline": 6, "bad": 6, "good": 6, "third": 6}


def test_only_what_is_needed(project):
    """By node id, -k and --deselect, only the conditions that selected tests need are run."""
    project.write(mixed())
    project.run(ITEMS[0]).assert_outcomes(passed=1)
    assert ran(project) == {"baseline": 6, "good": 6}
    project.run("-k", "third").assert_outcomes(passed=1, deselected=2)
    assert ran(project) == {"baseline": 6, "third": 6}
    project.run("--deselect", ITEMS[1]).assert_outcomes(passed=2, deselected=1)
    assert ran(project) == {"baseline": 6, "good": 6, "third": 6}


@pytest.mark.slow
def test_a_family_is_run_for_its_adjusted_p(project):
    """-k, a node id and --lf run the conditions that the adjusted p needs, say so, and change no number."""
    project.write(mixed("holm"))
    result = project.run("-v", "--junitxml=all.xml")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.no_fnmatch_line("*ran for the correction alone*")
    ran(project)
    everything = {"baseline": 6, "bad": 6, "good": 6, "third": 6}
    for number, options in enumerate([("--lf",), ("-k", "third"), (ITEMS[0],)]):
        result = project.run(*options, f"--junitxml={number}.xml")
        result.assert_outcomes(passed=int(number > 0), failed=int(number == 0), deselected=(2, 2, 0)[number])
        assert ran(project) == everything
        text = " ".join(result.stdout.str().split())
        others = [name for name in ("good", "bad", "third") if name != ("bad", "third", "good")[number]]
        named = ", ".join(map(repr, others))
        assert f"note: {named} ran for the correction alone, which allows for claims that are not" in text
        complete, alone = project.cases("all.xml"), project.cases(f"{number}.xml")
        (name,) = alone
        assert "adjusted_p" in properties(alone[name])
        assert numbers(alone[name]) == numbers(complete[name])


def numbers(case):
    """Return the properties of a test case that do not change from run to run."""
    return {key: value for key, value in properties(case).items() if key != "compute_seconds"}


def test_what_is_not_tested_counts_in_the_family(project):
    """A treatment that is switched off, or whose tests are all skipped, is not run and counts with p = 1."""
    project.write(mixed("holm"))
    off = project.run("--crystallize-disable", "third", "--junitxml=off.xml")
    off.assert_outcomes(passed=1, failed=1, skipped=1)
    assert ran(project) == {"baseline": 6, "bad": 6, "good": 6}
    found = properties(project.cases("off.xml")["total_increase[good]"])
    # Holm over three with one at 1: the smallest counts threefold, the second twofold.
    p_values = {
        name: float(properties(case)["p_value"])
        for name, case in project.cases("off.xml").items()
        if "third" not in name
    }
    order = sorted(p_values.values())
    expected = {order[0]: 3 * order[0], order[1]: max(3 * order[0], 2 * order[1])}
    assert float(found["adjusted_p"]) == pytest.approx(expected[float(found["p_value"])], rel=1e-12)
    project.run("--crystallize-enable", "third", "--collect-only")
    claims = """[
        Hypothesis(metric="total", direction="increase", name="a"),
        pytest.param(Hypothesis(metric="total", direction="decrease", name="b"), marks=pytest.mark.skip),
    ]"""
    project.write(mixed("holm", hypotheses=claims))
    project.run("--junitxml=skipped.xml").assert_outcomes(passed=2, failed=1, skipped=3)
    cases = project.cases("skipped.xml")
    smallest = min(float(properties(cases[f"a[{name}]"])["p_value"]) for name in ("good", "bad", "third"))
    adjusted = min(float(properties(cases[f"a[{name}]"])["adjusted_p"]) for name in ("good", "bad", "third"))
    assert adjusted == pytest.approx(6 * smallest, rel=1e-12)


def test_marks_are_asked_as_often_for_each_test_of_a_larger_family(project):
    """Which claims can be tested is found once for all tests of an experiment, not for each of them."""
    asked = []
    for size in (3, 9):
        treatments = {f"t{i}": {"delta": 3.0} for i in range(size)}
        above = """
def skipped():
    with open("log", "a") as log:
        print(1, file=log)
    return False
"""
        mark = '@pytest.mark.skipif("skipped()", reason="")'
        project.write(total(above=f"{above}\n{mark}", treatments=treatments, replicates=8))
        project.run("--collect-only")
        asked.append(len(project.log()))
        (project.path / "log").unlink()
    assert asked[1] <= 3 * asked[0]


def test_by_function(project):
    """The node id of an experiment selects its tests."""
    project.write(mixed())
    project.write(TOTAL, "experiment_b.py")
    result = project.run("experiment_a.py::experiment_total", "--collect-only", "-q")
    assert result.outlines[:3] == ITEMS


def test_last_failed(project):
    """--lf reruns only what failed, and runs only the conditions for it; --ff runs it first."""
    project.write(mixed())
    project.run()
    ran(project)
    result = project.run("--lf", "-v")
    result.assert_outcomes(failed=1)
    assert ran(project) == {"bad": 6, "baseline": 6}
    result = project.run("--ff", "-v")
    result.assert_outcomes(passed=2, failed=1)
    told = [line.split(" ")[0] for line in result.outlines if line.startswith("experiment_a.py::")]
    assert [name for name in told if name in ITEMS] == [ITEMS[1], ITEMS[0], ITEMS[2]]


@pytest.mark.slow
def test_last_failed_on_workers(project):
    """--lf on workers reruns only what failed, and its replicates are run in parallel."""
    project.write(
        mixed(
            replicates=40,
            lines="""with open("log", "a") as log:
    print(json.dumps([condition, os.getpid()]), file=log)
sum(range(500_000))""",
        )
    )
    project.run("--crystallize-replicates=6").assert_outcomes(passed=2, failed=1)
    (project.path / "log").unlink()
    result = project.run_workers("--lf", "-v")
    result.assert_outcomes(failed=1)
    rows = project.log()
    assert {condition for condition, _ in rows} == {"baseline", "bad"}
    assert len(rows) == 80
    assert len({pid for _, pid in rows}) == 2


def test_failed_and_lost_replicates_are_last_failed_too(project):
    """A test that was INVALID is rerun by --lf."""
    project.write(total(arguments="replicate, rng", lines="assert replicate != 3"))
    project.run().assert_outcomes(failed=1)
    project.write(TOTAL)
    project.write(TOTAL, "experiment_b.py")
    project.run("--lf").assert_outcomes(passed=1)


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_stop_at_the_first_failure(project, option):
    """-x and --maxfail stop behind the first failure, and nothing is called NOT RUN that was not to be run."""
    project.write(mixed())
    result = project.run(option, "-v")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])
    result.stdout.no_fnmatch_line("NOT RUN experiment_a*")


def test_stepwise(project):
    """--stepwise goes on at the test that failed."""
    project.write(mixed())
    project.run("--stepwise").assert_outcomes(passed=1, failed=1)
    project.run("--stepwise").assert_outcomes(failed=1, deselected=1)


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--setup-only"])
def test_nothing_is_run(project, option):
    """--collect-only, --setup-plan and --setup-only run nothing, and no verdict is missed."""
    project.write(mixed())
    result = project.run(option)
    assert result.ret == 0
    assert ran(project) == {}
    result.stdout.no_fnmatch_line("*NOT RUN*")
    result.stdout.no_fnmatch_line("*= experiments =*")


@pytest.mark.slow
def test_nothing_is_run_on_workers(project):
    """--setup-plan under -n runs nothing either."""
    project.write(mixed())
    result = project.run_workers("--setup-plan")
    assert result.ret == 0
    assert ran(project) == {}
    result.stdout.no_fnmatch_line("*NOT RUN*")


def test_collect_only_shows_the_tree(project):
    """--collect-only shows experiments and their tests."""
    project.write(mixed())
    result = project.run("--collect-only")
    result.stdout.fnmatch_lines(
        ["*<ExperimentCollector experiment_total>", "*<HypothesisItem total_increase[[]good[]]>"]
    )


@pytest.mark.slow
def test_random_order(project):
    """pytest-randomly's order changes no number, and leaves the tests of other plugins in place."""
    project.write(mixed())
    project.write(TOTAL, "experiment_b.py")
    runs = []
    for seed in ("1", "2", "3"):
        result = project.run_plain("--crystallize", "-v", "--randomly-seed", seed)
        result.assert_outcomes(passed=3, failed=1)
        runs.append(result)
    orders = {
        tuple(line.split(" ")[0] for line in result.outlines if "::" in line and "%]" in line)
        for result in runs
    }
    digests = {
        tuple(sorted(line for line in result.outlines if line.startswith("  digest"))) for result in runs
    }
    assert len(orders) > 1
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("-p", "no:cacheprovider"),
        ("-p", "no:xdist"),
        ("-p", "no:terminal"),
        ("-p", "no:logging"),
        ("-p", "no:junitxml"),
        ("-p", "no:tmpdir"),
        ("-p", "no:warnings"),
        ("-p", "no:timeout"),
        ("-p", "no:capture"),
        ("-p", "no:skipping"),
        ("-p", "no:doctest"),
        ("-p", "no:stepwise"),
        ("-p", "no:setuponly"),
        ("-p", "no:setupplan"),
        ("-p", "no:debugging"),
        ("-p", "no:unittest"),
        ("-p", "no:subtests"),
        ("-p", "no:faulthandler"),
        ("-p", "no:unraisableexception", "-p", "no:threadexception"),
    ],
    ids=lambda options: options[-1],
)
def test_without_other_plugins(project, options):
    """Experiments run without any plugin of pytest's that may be switched off, pass and fail alike."""
    project.write(TOTAL)
    project.write(total(direction="decrease"), "experiment_b.py")
    project.write(total(lines="assert delta"), "experiment_c.py")
    project.write(total("@pytest.mark.xfail(run=False)", direction="decrease"), "experiment_d.py")
    result = project.run(*options)
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    if options[-1] != "no:terminal":
        heeds_marks = options[-1] != "no:skipping"
        result.assert_outcomes(passed=1, failed=2 + (not heeds_marks), xfailed=int(heeds_marks))


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_hook_that_drops_tests_too_late(project, workers):
    """Behind the hook for it others know of them, and workers are asked for them by their numbers."""
    project.raw(
        "conftest.py",
        """
        def pytest_collection_finish(session):
            session.items[:] = [item for item in session.items if "worse" not in item.nodeid]
        """,
    )
    project.write(total(treatments={"boost": {"delta": 3.0}, "worse": {"delta": -3.0}}))
    result = project.run_apart("-n", workers)
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    result.assert_outcomes(passed=1, failed=1)
    shown = " ".join(result.stdout.str().split())
    assert "a hook pytest_collection_finish has dropped 1 test of experiments" in shown
    assert "deselected in pytest_collection_modifyitems" in shown


def test_durations(project):
    """--durations shows the time of experiments."""
    project.write(total(lines="sum(range(300_000))"))
    result = project.run("--durations=3", "--durations-min=0")
    result.stdout.fnmatch_lines([f"*s call *{ITEM.replace('[', '[[]')}"])


def test_warnings_as_errors(project):
    """-W error makes a warning of the body its failure, and nothing of ours warns."""
    project.write(TOTAL)
    project.run("-W", "error").assert_outcomes(passed=1)
    project.write(total(lines="warnings.warn('odd')"))
    result = project.run("-W", "error")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: *UserWarning: odd*"])


def test_filterwarnings_mark(project):
    """The filterwarnings mark holds in the body."""
    project.write(total(above="@pytest.mark.filterwarnings('error:odd')", lines="warnings.warn('odd')"))
    project.run("-W", "ignore").assert_outcomes(failed=1)
    project.write(total(above="@pytest.mark.filterwarnings('ignore:odd')", lines="warnings.warn('odd')"))
    result = project.run("-W", "always")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*odd*")


@pytest.mark.slow
def test_timeout(project):
    """pytest-timeout ends a body that takes too long, as a failure of its replicate."""
    # a short time would be over before the first run, on a slow machine: its end is brought forward
    hangs = "if replicate == 1:\n    assert signal.setitimer(signal.ITIMER_REAL, 0.01)[0] > 0\n    while True: pass"
    project.write(total(above="import signal", arguments="replicate, rng", lines=hangs))
    result = project.run_apart("--timeout=100", "--crystallize-replicates=2", "--timeout-method=signal")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: *Timeout*"])


def test_nothing_selected(project):
    """Where -k leaves nothing, the exit code is pytest's for nothing."""
    project.write(TOTAL)
    assert project.run("-k", "nonesuch").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("selects", [True, False])
def test_no_claim_is_left_out_by_what_its_test_has_executed(project, workers, selects):
    """As pytest-testmon would do it: whoever came first has executed what all tests of an experiment rest on."""
    project.raw(
        "conftest.py",
        f"""
        from types import SimpleNamespace

        def pytest_configure(config):
            config.testmon_config = SimpleNamespace(select={selects})
        """,
    )
    project.write(TOTAL)
    result = project.run_apart("-n", workers)
    if selects:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --testmon selects tests by *Add --testmon-noselect: *"])
    else:
        result.assert_outcomes(passed=1)
