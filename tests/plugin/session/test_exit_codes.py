"""The exit code of a session: never 0 where a selected hypothesis failed or gave no verdict."""

import re
import sys

import pytest

from plugin.conftest import TOTAL, total

REFUTED = total(direction="decrease")
TEST = "experiment_a.py::experiment_total::total_decrease[boost]"
FIRST = "@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
ASKS = 'pytest.exit("enough", returncode=0)'


def conftest(project, source):
    project.raw("conftest.py", "import os, sys\nimport pytest\n\n" + source)


def hook(signature, body, decorator=""):
    return f"{decorator}def {signature}:\n    {body}\n"


def told(result):
    return " ".join(" ".join(result.outlines + result.errlines).split())


HOOKS = ("record(record)", "verdict(verdict)", "report(results)")
SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hooked", "workers"),
    [
        *((hooked, "-n0") for hooked in HOOKS),
        pytest.param(HOOKS[0], "-n2", marks=SLOW),
        (HOOKS[1], "-n2"),
        pytest.param(HOOKS[2], "-n2", marks=SLOW),
    ],
)
def test_a_hook_that_exits_ends_nothing(project, hooked, workers):
    """What a command-line uploader ends with is told by the hook's name, and the verdicts stand."""
    conftest(project, hook(f"pytest_crystallize_{hooked}", "sys.exit(0)"))
    project.write(REFUTED)
    result = project.run() if workers == "-n0" else project.run_workers()
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    assert f"note: pytest_crystallize_{hooked.partition('(')[0]} raised SystemExit: 0" in told(result)


@pytest.mark.parametrize("hooked", HOOKS)
def test_a_hook_that_asks_for_the_end_is_named(project, hooked):
    """The session ends, its reports are written, and it has not succeeded."""
    name = f"pytest_crystallize_{hooked.partition('(')[0]}"
    conftest(project, hook(f"pytest_crystallize_{hooked}", ASKS))
    project.write(REFUTED)
    result = project.run("--crystallize-report=report.json")
    assert result.ret == 1
    assert f"Exit: {name}: enough" in told(result)
    assert (project.path / "report.json").exists()


ENDS = {
    "the status is set": hook("pytest_sessionfinish(session)", "session.exitstatus = 0"),
    "the status is set last": hook(
        "pytest_sessionfinish(session)", "result = yield; session.exitstatus = 0; return result", FIRST
    ),
    "exits at the end": hook("pytest_sessionfinish()", "sys.exit(0)"),
    "exits at both ends": hook("pytest_sessionfinish()", "sys.exit()")
    + hook("pytest_unconfigure()", "sys.exit()"),
    "asks at the end": hook("pytest_sessionfinish()", ASKS),
    "exits behind the end": hook("pytest_unconfigure()", "sys.exit(256)"),
    "asks while tests run": hook("pytest_runtest_logreport()", ASKS),
    "asks before tests run": hook("pytest_collection_finish()", ASKS),
    "asks before collection": hook("pytest_sessionstart()", ASKS),
    "asks while it is configured": hook("pytest_configure()", ASKS),
    "runs nothing": hook("pytest_runtest_protocol()", "return True"),
    "another return code": hook("pytest_cmdline_main()", "yield; return 0", FIRST),
    "another outcome": hook(
        "pytest_runtest_makereport()", "report = yield; report.outcome = 'passed'; return report", FIRST
    ),
    "a test without its body": hook("pytest_itemcollected(item)", "item.runtest = lambda: None"),
}


@pytest.mark.parametrize("case", ENDS)
def test_whatever_ends_the_session(project, case):
    """No hook of a conftest makes a success of it, and one line says why not."""
    conftest(project, ENDS[case])
    project.write(REFUTED)
    result = project.run()
    assert result.ret == 1
    if case != "runs nothing":  # which is a failed test of its own
        assert "crystallize: the exit code is 1, not 0: " in told(result)


BEFORE_ALL = {
    "as it is loaded": "sys.exit(0)\n",
    "as options are added": hook("pytest_addoption(parser)", "sys.exit()"),
    "as a plugin is registered": hook("pytest_plugin_registered()", "sys.exit()"),
    "before the session": hook("pytest_cmdline_main()", "sys.exit(0)"),
}


@pytest.mark.parametrize("case", BEFORE_ALL)
@pytest.mark.parametrize("flag", ["--crystallize", "--crystallize-save=main", "--verbose"])
def test_a_conftest_that_exits_before_the_session(project, case, flag):
    """A gate that has not begun is no success; sessions without experiments end as they are told."""
    conftest(project, BEFORE_ALL[case])
    project.write(REFUTED)
    result = project.pytester.runpytest_subprocess(flag)
    is_gate = flag != "--verbose"
    assert result.ret == is_gate
    assert ("the exit code is 1, not 0: it was ended before any test" in told(result)) == is_gate


def test_a_conftest_that_exits_with_a_code_of_its_own(project):
    """It stays."""
    conftest(project, "sys.exit(7)\n")
    project.write(REFUTED)
    assert project.run_apart().ret == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        "exits at both ends",
        pytest.param("asks while tests run", marks=SLOW),
        pytest.param("asks before collection", marks=SLOW),
    ],
)
def test_whatever_ends_the_session_of_workers(project, case):
    """The controlling process decides, also without having heard of any test."""
    conftest(project, ENDS[case])
    project.write(REFUTED)
    result = project.run_workers()
    assert result.ret == 1
    assert "crystallize: the exit code is 1, not 0: " in told(result)


@pytest.mark.parametrize(("code", "ends_with"), [(0, 1), *(pytest.param(c, c, marks=SLOW) for c in (2, 7))])
@pytest.mark.parametrize("where", ["modifyitems", pytest.param("finish", marks=SLOW)])
def test_exit_as_a_worker_has_collected(project, where, code, ends_with):
    """It ends the session as without workers, though pytest-xdist knows by then which tests there are."""
    conftest(project, hook(f"pytest_collection_{where}()", f"pytest.exit('enough', returncode={code})"))
    project.write(TOTAL)
    result = project.run_workers()
    assert result.ret == ends_with
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_fnmatch_line("*replacing crashed worker*")
    assert "Exit: enough" in told(result)


FINISH, UNCONFIGURE = "pytest_sessionfinish(session)", "pytest_unconfigure(config)"
AT_THE_END = {
    "in a hook": (FINISH, "raise RuntimeError('no upload')", "", "raised RuntimeError: no upload"),
    "is interrupted": (FINISH, "raise KeyboardInterrupt", "", "raised KeyboardInterrupt"),
    "around all": (FINISH, "raise RuntimeError", FIRST, "raised RuntimeError"),
    "behind all": (UNCONFIGURE, "pytest.exit('no upload')", "", "raised Exit: no upload"),
    "exits": (UNCONFIGURE, "sys.exit(3)", "", "raised SystemExit: 3"),
    "asks": (FINISH, "pytest.exit('full', returncode=7)", "", "asked for exit code 7"),
    "the status is set": (FINISH, "session.exitstatus = 9", "", "asked for exit code 9"),
}


@pytest.mark.parametrize(
    "case", ["around all", *(pytest.param(case, marks=SLOW) for case in AT_THE_END if case != "around all")]
)
def test_what_ends_a_worker_behind_its_tests_fails_the_session(project, case):
    """As it does without workers."""
    signature, body, decorator, expected = AT_THE_END[case]
    given = "session.config" if signature == FINISH else "config"
    lines = ["yield"] * bool(decorator) + [f"if hasattr({given}, 'workerinput'): {body}"]
    conftest(project, hook(signature, "\n    ".join(lines), decorator))
    project.write(TOTAL)
    result = project.run_workers()
    assert result.ret == 1
    result.assert_outcomes(passed=1)
    assert f"a hook at the end of a worker {expected}" in told(result)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit of size there")
def test_what_ends_a_worker_that_can_not_write_fails_the_session(project):
    """As on a full disk, where a file can be made, and nothing be written to it."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))"
    lines = f"if hasattr(config, 'workerinput'):\n        {full}\n        raise RuntimeError('no upload')"
    conftest(project, hook(UNCONFIGURE, lines))
    project.write(TOTAL)
    result = project.run_workers()
    assert result.ret == 1
    result.assert_outcomes(passed=1)
    assert "a hook at the end of a worker failed, and could not write down how" in told(result)


@pytest.mark.parametrize("case", ["the status is set", "asks at the end"])
def test_a_session_whose_tests_pass_may_end_as_it_likes(project, case):
    """Then 0 is what it has earned."""
    conftest(project, ENDS[case])
    project.write(TOTAL)
    result = project.run()
    assert result.ret == 0
    assert "the exit code" not in told(result)


def test_other_exit_codes_stay(project):
    """Whoever asks for a failure has one."""
    conftest(project, hook("pytest_sessionfinish()", "sys.exit(7)"))
    project.write(REFUTED)
    assert project.run_apart().ret == 7


def test_the_report_has_the_exit_code_of_the_session(project):
    """Also where a hook before it has set another."""
    conftest(project, ENDS["the status is set"])
    project.write(REFUTED)
    project.run("--crystallize-report=report.json")
    assert '"exit_status": 1' in (project.path / "report.json").read_text()


EAGER = """
def eager(baseline, treatment):
    return {"p_value": 0.001, "significant": True}
"""
EAGER += total(hypotheses='[Hypothesis(eager, "total")]')
RAISING = total(lines="assert not delta")
SAVE = "--crystallize-save=main"

SESSIONS = {
    "supported": (0, TOTAL, ()),
    "refuted": (1, REFUTED, ()),
    "a run is missing": (1, RAISING, ()),
    "expected to fail": (0, "@pytest.mark.xfail" + REFUTED, ()),
    "skipped": (0, "@pytest.mark.skip" + REFUTED, ()),
    "calibrated": (0, TOTAL, ("--crystallize-calibrate=20",)),
    "miscalibrated": (1, EAGER, ("--crystallize-calibrate=20",)),
    "saved": (0, TOTAL, (SAVE,)),
    "not saved": (1, RAISING, (SAVE,)),
    "the run raises nothing": (0, RAISING, ("--crystallize-repro=0:baseline",)),
    "the run raises": (1, RAISING, ("--crystallize-repro=0:boost",)),
    "no such run": (4, TOTAL, ("--crystallize-repro=0:bost",)),
    "error of collection": (2, "import no_such_module\n" + TOTAL, ()),
    "wrong option": (4, TOTAL, ("--crystallize-cache=never",)),
}


@pytest.mark.parametrize("case", SESSIONS)
def test_every_kind_of_session(project, case):
    """The table of the guide."""
    code, source, options = SESSIONS[case]
    project.write(source)
    assert project.run(*options).ret == code


@pytest.mark.parametrize("options", [("--collect-only",), ("--fixtures-per-test",), ("--setup-plan",)])
def test_sessions_that_owe_no_verdict(project, options):
    """They show something, and succeed."""
    project.write(REFUTED)
    assert project.run(*options).ret == 0


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n2", marks=SLOW)])
def test_a_verifier_that_skips_gives_no_verdict(project, workers):
    """Its runs are there, so nothing is skipped: the verdict is invalid."""
    project.write(
        """
        @verifier
        def special(baseline, treatment):
            pytest.importorskip("no_such_module")

        @pytest.mark.experiment(
            replicates=3, treatments={"t": {"delta": 1}}, hypotheses=[Hypothesis(special, "y")]
        )
        def experiment_a(rng, delta=0):
            return {"y": rng.normal() + delta}
        """
    )
    result = project.run() if workers == "-n0" else project.run_workers()
    result.assert_outcomes(failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*INVALID: the verifier raised Skipped: could not import 'no_such_module'*"])


def test_a_verifier_may_end_the_session(project):
    """`pytest.exit` means what it says, and the session has not succeeded."""
    project.write(total(hypotheses=f"[Hypothesis(lambda b, t: {ASKS}, 'total')]"))
    result = project.run()
    assert result.ret == 1
    assert "gave no verdict" in told(result)


@pytest.mark.parametrize("raised", ["sys.exit(0)", "raise GeneratorExit", "pytest.xfail('not yet')", ASKS])
def test_a_factory_that_gives_no_experiment(project, raised):
    """It is an error of collection, in one line where it is of none of pytest's outcomes."""
    project.write(f"{TOTAL}\ndef experiment_made():\n    {raised}\n")
    result = project.run()
    assert result.ret == 2
    result.assert_outcomes(errors=1)
    if "pytest" not in raised:
        kind = "SystemExit: 0" if "sys" in raised else "GeneratorExit"
        assert re.search(rf"experiment_a.py:\d+: experiment_made raised {kind}", result.stdout.str())


@pytest.mark.parametrize("fails", [True, False])
def test_a_fixture_that_skips_in_its_teardown_hides_nothing(project, fails):
    """What was run is not skipped any more."""
    conftest(project, "@pytest.fixture(autouse=True)\ndef late():\n    yield\n    pytest.skip('late')\n")
    project.write(total(lines="assert delta") if fails else TOTAL)
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "RuntimeError: a fixture skipped in its teardown: late" in told(result)


def test_a_step_that_skips_in_its_teardown_hides_no_failure(project):
    """The run failed before it."""
    project.write(
        """
        class Step(PipelineStep):
            params = {}
            def __call__(self, data, ctx):
                raise ValueError("odd")
            def teardown(self, ctx):
                pytest.skip("late")

        def experiment_made():
            return Experiment(0, [Step()], replicates=2)
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    assert "ValueError: odd" in told(result)


def test_a_value_without_repr_fails_its_test_alone(project):
    """What reports show of a verifier's answer is no way out of it."""
    project.write(
        """
        class Shy:
            def __repr__(self):
                pytest.skip("not shown")

        def fine(baseline, treatment):
            return {"p_value": 0.01, "significant": True, "model": Shy()}

        @pytest.mark.experiment(replicates=3, treatments={"t": {"delta": 1}}, hypotheses=[Hypothesis(fine)])
        def experiment_a(rng, delta=0):
            return {"y": rng.normal() + delta}
        """
    )
    project.run().assert_outcomes(passed=1)


@pytest.mark.slow
def test_a_process_that_ends_itself_is_noticed_by_the_controlling_one(project):
    """Its replicate is named; one worker is the way out where nothing else could catch it."""
    project.write(total(replicates=1, lines="delta and os._exit(0)"))
    result = project.run_workers(n=1)
    assert result.ret == 1
    assert "replicate 0 failed with ProcessDied" in told(result)


def test_skips_are_counted(project):
    """By mark, by fixture or by switch: the heading of the summary says how many have no verdict."""
    marked = total(above="@pytest.mark.skip(reason='not today')", name="experiment_marked")
    fixture = "@pytest.fixture\ndef gpu():\n    pytest.skip('no GPU')\n"
    needing = total(name="experiment_needing", arguments="rng, gpu")
    project.write(TOTAL + marked + fixture + needing)
    result = project.run()
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["=* experiments: 2 of 3 selected tests skipped =*"])
    switched_off = project.run("--crystallize-disable=boost")
    assert switched_off.ret == 0
    switched_off.stdout.fnmatch_lines(["=* experiments: 3 of 3 selected tests skipped =*"])


def test_a_module_that_skips_where_code_is_read_skips_no_test(project):
    """What the body may import is imported to identify it, before anything is run."""
    project.raw("optional_part.py", "import pytest\n\npytest.skip('not here', allow_module_level=True)\n")
    project.write(total(lines="if delta > 9:\n    import optional_part\n    optional_part.go()"))
    project.run().assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
@pytest.mark.parametrize(("code", "missing"), [(0, False), pytest.param(0, True, marks=SLOW), (7, False)])
def test_exit_behind_every_verdict(project, code, missing, workers):
    """A fixture that ends the session when it is torn down ends it alike, here and on workers."""
    conftest(
        project,
        "@pytest.fixture(scope='module')\ndef wide():\n    yield\n"
        f"    pytest.exit('enough', returncode={code})\n",
    )
    project.write(total(arguments="rng, wide"))
    if missing:
        project.write(TOTAL, "experiment_b.py")
    result = project.run_apart(workers)
    assert result.ret == (1 if missing else code)


def test_a_hook_that_skips_what_was_judged(project):
    """A refuted hypothesis stays one, whatever a hook around its test makes of it."""
    conftest(
        project,
        hook(
            "pytest_runtest_call()",
            "try:\n        yield\n    except BaseException:\n        pytest.skip('flaky')",
            "@pytest.hookimpl(wrapper=True)\n",
        ),
    )
    project.write(REFUTED)
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(skipped=1)
    assert f"crystallize: the exit code is 1, not 0: 1 of 1 selected tests failed: {TEST}" in told(result)


KNOWN = "if report.failed:\n        report.outcome, report.wasxfail = 'skipped', 'known'\n"
MAKES = "report = yield\n    " + KNOWN + "    return report"


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize(
    "hooked",
    [
        hook("pytest_runtest_makereport()", MAKES, FIRST),
        hook("pytest_runtest_makereport()", MAKES, "@pytest.hookimpl(wrapper=True)\n"),
        hook("pytest_runtest_logreport(report)", KNOWN, "@pytest.hookimpl(tryfirst=True)\n"),
    ],
    ids=["around", "within", "told"],
)
def test_a_hook_that_expects_a_failure_which_no_mark_does(project, hooked, fails, workers):
    """Be it a refuted claim or missing evidence; what a mark expects, a hook may say, too."""
    conftest(project, hooked)
    project.write(total(direction="decrease", lines="assert delta" if fails else ""))
    assert project.run_apart(workers).ret == 1
    project.write(total("@pytest.mark.xfail", direction="decrease"))
    result = project.run_apart(workers)
    assert result.ret == 0
    result.assert_outcomes(xfailed=1)


@pytest.mark.parametrize(
    "source",
    [
        "sys.exit(0)\n",
        "def name(value):\n    sys.exit(0)\n@pytest.mark.parametrize('depth', [1], ids=name)"
        + total(arguments="rng, depth"),
    ],
    ids=["module", "ids"],
)
def test_a_module_that_exits(project, source):
    """It is an error of collection, with the line that raised."""
    project.write(source)
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*experiment_a.py:*", "E   SystemExit: 0"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_after_run_that_asks_for_the_end(project):
    """There is nothing left to end: the results are shown, and what the hook raised."""
    project.write("""
        class Ends(BasePlugin):
            def after_run(self, experiment, result):
                pytest.exit("enough", returncode=0)

        @pipeline_step()
        def score(data, ctx):
            return data, {"total": ctx.rng.normal()}

        def experiment_factory():
            return Experiment(0, [score], plugins=[Ends()])
        """)
    result = project.run()
    result.assert_outcomes(passed=1)
    assert "note: experiment_factory: Ends.after_run failed: Exit: enough" in told(result)
