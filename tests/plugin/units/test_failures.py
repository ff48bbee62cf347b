"""A replicate that fails: shown once, repeatable, and open to the debugger."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import os
import shlex
import subprocess
import sys

import pytest

from plugin.conftest import ITEM, MARK, TOTAL, VALUE, total

COMPUTE = """
import logging

def compute(replicate, delta):
    print("computing", replicate)
    print("to stderr", file=sys.stderr)
    logging.getLogger("model").warning("depth is %d", replicate)
    if replicate in FAIL and delta:
        raise ValueError(f"bad luck in {replicate}")
    return 1.0
"""


def failing(replicates=(2, 4), **changes):
    """Return an experiment of which some replicates of the treatment fail."""
    called = total(arguments="replicate, rng", value="compute(replicate, delta)", **changes)
    return f"FAIL = {replicates}\n{COMPUTE}{called}"


def test_shown_once(project):
    """A failure is shown once, however many hypotheses it concerns, with all that is needed to understand it."""
    project.write(
        failing(
            hypotheses="""[
                Hypothesis(metric="total", direction=d) for d in ("increase", "decrease", "differ")
            ]"""
        )
    )
    result = project.run()
    result.assert_outcomes(failed=3)
    text = result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "INVALID: 2 of 6 replicates of 'boost' are missing: replicate 2 failed with ValueError: bad luck in 2 (as did 1 more)",
            "replicate 2 of 'boost', seed *, in experiment_total:",
            "    def experiment_total(replicate, rng, delta=0.0):",
            ">       return {*",
            "experiment_a.py:*: *",
            ">           raise ValueError*",
            "E           ValueError: bad luck in 2",
            "experiment_a.py:*: ValueError",
            "*- Captured stdout -*",
            "computing 2",
            "*- Captured stderr -*",
            "to stderr",
            "*- Captured log -*",
            "WARNING *model:experiment_a.py:* depth is 2",
            "and 1 more in the same way: replicate 4",
            "repeat it: pytest --crystallize * --crystallize-repro=2:boost",
        ]
    )
    assert text.count("raise ValueError(f") == 1
    assert text.count("repeat it: ") == 1
    assert "computing 1" not in text
    assert "/units.py" not in text
    assert "_pytest/" not in text
    from crystallize.context.seeding import SeedStream

    assert f"replicate 2 of 'boost', seed {SeedStream(0).seed(2)}, in" in text


def test_tracebacks_are_told_in_plain_text_where_colours_are_forced(project, monkeypatch):
    """As many runners of jobs do: codes of colours stood in all reports. Nor loses a first line its place."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    project.write("""
        @pytest.fixture
        def broken():
            raise ValueError("down")

        @pytest.mark.experiment(replicates=2)
        def experiment_x(broken):
            pass
    """)
    reports = ("--crystallize-report=out.md", "--crystallize-report=out.json", "--junitxml=out.xml")
    project.run("--color=no", *reports).stdout.fnmatch_lines(
        [
            "replicate 0 of *, in setup:",
            "",
            "    @pytest.fixture",
            "    def broken():",
            ">       raise ValueError*",
        ],
        consecutive=True,
    )
    (failure,) = project.json("out.json")["experiments"][0]["failures"]
    assert failure["traceback"].startswith("    @pytest.fixture\n    def broken():\n")
    for name in ("out.md", "out.xml"):
        text = (project.path / name).read_text()
        assert "    @pytest.fixture\n" in text
        assert "[0m" not in text


def test_different_failures(project):
    """Failures of different kinds are all told; none is dropped silently."""
    project.write("""
        KINDS = [ValueError, TypeError, KeyError, IndexError, OSError, RuntimeError, LookupError, AttributeError]

        @pytest.mark.experiment(replicates=9)
        def experiment_x(replicate):
            if replicate < 8:
                raise KINDS[replicate](f"number {replicate}")
    """)
    result = project.run()
    result.assert_outcomes(failed=1)
    shown = sum(f"number {i}" in result.stdout.str() for i in range(8))
    assert shown == 8 or any("more" in line and "fail" in line for line in result.outlines)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["auto", "long", "short", "line", "native", "no"])
def test_traceback_styles(project, style):
    """--tb is obeyed; whatever the style, the exception is told unless it is "no"."""
    project.write(failing())
    result = project.run(f"--tb={style}")
    result.assert_outcomes(failed=1)
    assert ("ValueError: bad luck in 2" in result.stdout.str()) == (style != "no")
    result.stdout.no_fnmatch_line("*/units.py*")
    result.stdout.no_fnmatch_line("INTERNALERROR*")


def test_showlocals_and_full_trace(project):
    """--showlocals shows the locals, --full-trace all frames."""
    project.write(failing())
    project.run("-l").stdout.fnmatch_lines(["replicate  = 2"])
    project.run("--full-trace").assert_outcomes(failed=1)


@pytest.mark.slow
@pytest.mark.parametrize("capture", ["no", "sys", "fd", "tee-sys"])
def test_capture_modes(project, capture):
    """Under every capture mode a failing run is told, and what it printed is seen."""
    project.write(failing())
    result = project.run(f"--capture={capture}")
    result.assert_outcomes(failed=1)
    assert "computing 2" in result.stdout.str()
    result.stdout.fnmatch_lines(["E           ValueError: bad luck in 2"])


def test_output_of_runs_that_succeed(project):
    """What successful runs print is kept quiet, also when their hypothesis is not supported."""
    project.write(failing(replicates=()))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("computing*")


def repeat(result):
    """Return the command line that a failure gives."""
    return next(line for line in result.outlines if line.startswith("repeat it: ")).removeprefix(
        "repeat it: "
    )


@pytest.mark.slow
def test_repeat_line_in_a_shell(project):
    """The line that repeats a replicate works when it is pasted into a shell, and fails as the replicate did."""
    project.write(failing())
    command = repeat(project.run())
    pytest_script = project.path / "bin" / "pytest"
    project.raw("bin/pytest", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pytest "$@"\n')
    pytest_script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{pytest_script.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, cwd=project.path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ValueError: bad luck in 2" in done.stdout
    assert "1 failed" in done.stdout


def test_repro_of_a_run_that_succeeds(project):
    """A replicate that succeeds when it is repeated skips its test: one replicate is no verdict."""
    project.write(failing())
    for unit in ("0:baseline", "0:boost", "5:boost"):
        result = project.run(ITEM, "--crystallize-repro", unit, "-rs")
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*no verdict: 1 of 6 replicates"])


def test_repro_runs_one_unit_with_its_seed(project):
    """Only the unit is run, with the numbers that it had, and its output is shown with -s."""
    project.write(
        """
import json
"""
        + MARK
        + """
def experiment_total(ctx, replicate, condition, rng, seed, delta=0.0):
    with open("log", "a") as log:
        print(json.dumps([replicate, condition, seed, rng.random(), random.random(), delta]), file=log)
    print("hello from", condition)
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""
    )
    project.run("--crystallize-seed", "9").assert_outcomes(passed=1)
    rows = project.log()
    (project.path / "log").unlink()
    result = project.run("--crystallize-repro", "3:boost", "--crystallize-seed", "9", "-s")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*hello from boost"])
    assert project.log() == [row for row in rows if row[:2] == [3, "boost"]]


def test_repro_of_a_factory(project):
    """A replicate of a factory's experiment is repeated with the user's traceback."""
    project.write("""
        @pipeline_step()
        def total(data, ctx):
            if ctx.replicate == 2:
                raise ValueError("bad luck")
            return data, {"total": 1}

        def experiment_x():
            return Experiment([1], [total], replicates=4)
    """)
    command = shlex.split(repeat(project.run()))
    result = project.run_plain("-p", "no:randomly", *command[1:])
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [">           raise ValueError*", "E           ValueError: bad luck", "experiment_a.py:*: ValueError"]
    )
    result.stdout.no_fnmatch_line("*/crystallize/*")


def test_repro_of_an_xfail(project):
    """A replicate that fails when repeated fails the session, though its hypothesis is marked xfail."""
    project.write(failing(above="@pytest.mark.xfail"))
    result = project.run("--crystallize-repro", "2:boost", ITEM)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E           ValueError: bad luck in 2"])


@pytest.mark.slow
def test_repro_on_workers(project):
    """A repeated replicate is repeated under -n too."""
    project.write(failing())
    result = project.run_workers("--crystallize-repro", "2:boost")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E           ValueError: bad luck in 2"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "boost",
        ":boost",
        "3:",
        "-1:boost",
        "x:boost",
        "\u00b2:boost",
        "1.0:boost",
        "6:boost",
        "2:nonesuch",
    ],
)
def test_bad_repro(project, text):
    """What is no unit of the selected experiments is a usage error, and the message says what there is."""
    project.write(failing())
    result = project.run(f"--crystallize-repro={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    output = result.stdout.str() + result.stderr.str()
    assert "--crystallize-repro" in output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    if text == "2:nonesuch":
        assert "baseline, boost" in output
    if text == "6:boost":
        assert "0 to 5" in output


def test_repro_beyond_one_experiment_of_several(project):
    """A replicate that only some of the selected experiments have is no replicate of the others."""
    project.write(TOTAL)
    project.write(
        total(replicates=20, name="experiment_more"),
        "experiment_b.py",
    )
    result = project.run("--crystallize-repro", "10:boost", "-rs")
    result.stdout.fnmatch_lines(["SKIPPED *experiment_b.py:*no verdict: 1 of 20 replicates"])
    result.stdout.no_fnmatch_line("*1 of 6 replicates*")


DEBUGGER = """
import sys

class Recorder:
    quitting = False

    def __init__(self, *args, **options):
        self.rcLines = []

    def reset(self):
        pass

    def set_continue(self):
        pass

    def set_quit(self):
        pass

    def setup(self, frame, traceback):
        pass

    def interaction(self, frame, traceback):
        traceback = getattr(traceback, "__traceback__", traceback)  # Python 3.13 gives the exception
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        local = traceback.tb_frame.f_locals
        with open("log", "a") as log:
            print(traceback.tb_frame.f_code.co_name, local.get("replicate"), local.get("delta"), file=log)
"""


def test_pdb_of_a_repeated_replicate(project, monkeypatch):
    """--pdb enters at the failing line of the repeated replicate."""
    project.write(failing())
    project.raw("recorder.py", DEBUGGER)
    monkeypatch.syspath_prepend(str(project.path))
    result = project.run("--crystallize-repro", "2:boost", "--pdb", "--pdbcls=recorder:Recorder")
    result.assert_outcomes(failed=1)
    assert (project.path / "log").read_text() == "compute 2 3.0\n"


def test_pdb_without_repro(project, monkeypatch):
    """--pdb enters at the failing line of the first replicate that fails, without --crystallize-repro too."""
    project.write(failing())
    project.raw("recorder.py", DEBUGGER)
    monkeypatch.syspath_prepend(str(project.path))
    result = project.run("--pdb", "--pdbcls=recorder:Recorder")
    assert result.ret == 1
    assert (project.path / "log").read_text().startswith("compute 2 3.0\n")


@pytest.mark.slow
def test_breakpoint(project):
    """A breakpoint in a body reaches the user though output is captured."""
    project.raw(
        "recorder.py",
        """
        class Recorder:
            def __init__(self, *args, **options):
                pass

            def set_trace(self, frame, *args):
                print("BREAK", frame.f_code.co_name, frame.f_locals.get("replicate"))
        """,
    )
    project.write(
        MARK + "def experiment_total(replicate, delta=0.0):\n    breakpoint()\n    return {'total': delta}\n"
    )
    result = project.run_apart("--pdbcls=recorder:Recorder", "--crystallize-replicates=2")
    result.stdout.fnmatch_lines(["BREAK experiment_total 0", "BREAK experiment_total 1"])


def test_trace(project, monkeypatch):
    """--trace stops where the body of each run begins, whatever is stored; to leave it is no run."""
    project.raw(
        "stepping.py",
        """
        import pdb

        class Stepping(pdb.Pdb):
            def interaction(self, frame, traceback):
                with open("log", "a") as log:
                    print(frame.f_code.co_name, frame.f_locals["delta"], file=log)
                self.set_continue()

        class Leaving(pdb.Pdb):
            def interaction(self, frame, traceback):
                self.set_quit()
        """,
    )
    monkeypatch.syspath_prepend(str(project.path))
    project.write(total(replicates=3))
    for _ in range(2):
        result = project.run("--trace", "--pdbcls=stepping:Stepping")
        result.assert_outcomes(passed=1)
        stops = (project.path / "log").read_text().splitlines()
        assert sorted(stops) == [*3 * ["experiment_total 0.0"], *3 * ["experiment_total 3.0"]]
        (project.path / "log").unlink()
    project.write("@pytest.mark.experiment(replicates=1)\ndef experiment_runs():\n    pass\n")
    result = project.run("--trace", "--pdbcls=stepping:Leaving")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: *: replicate 0 failed with BdbQuit*"])


def test_failures_of_two_experiments(project):
    """The same failure in two experiments is shown for each."""
    project.write(failing())
    project.write(failing(), "experiment_b.py")
    result = project.run()
    result.assert_outcomes(failed=2)
    assert result.stdout.str().count("repeat it: ") == 2


def test_failure_of_a_shared_baseline(project):
    """A failing baseline is shown once though it makes every treatment INVALID."""
    project.write("""
        @pytest.mark.experiment(
            replicates=3,
            treatments={"a": {"x": 1}, "b": {"x": 2}},
            hypotheses=[Hypothesis(metric="m", direction="increase")],
        )
        def experiment_x(x=0):
            assert x, "no baseline"
            return {"m": x}
    """)
    result = project.run()
    result.assert_outcomes(failed=2)
    assert result.stdout.str().count("repeat it: ") == 1
    assert result.stdout.str().count("assert x, ") == 1


def test_keyboard_interrupt_in_a_body(project):
    """Ctrl-C in a body ends the session with what is known."""
    project.write(
        MARK
        + "def experiment_total(replicate, delta=0.0):\n    if replicate == 3: raise KeyboardInterrupt\n    return {'total': delta}\n"
    )
    result = project.run(no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*NOT RUN: 1 selected test without verdict*", "*experiment_total: * of 12 condition runs*"]
    )
    result.stdout.no_fnmatch_line("INTERNALERROR*")


def test_an_interrupt_between_two_lines(project):
    """As a signal may come at an instruction of none; pytest fails to show a frame without one."""
    project.write(
        "def between_lines():\n    raise KeyboardInterrupt\n\n"
        "between_lines.__code__ = between_lines.__code__.replace(co_linetable=b'')\n\n"
        + MARK
        + "def experiment_total(replicate, delta=0.0):\n    if replicate == 3: between_lines()\n    return {'total': delta}\n"
    )
    result = project.run(no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*NOT RUN: 1 selected test without verdict*", "*experiment_a.py:*: KeyboardInterrupt"]
    )


STYLES = {
    "short": ["experiment_a.py:*: in *", "E   ValueError: bad 3.0"],
    "native": ["Traceback (most recent call last):", "ValueError: bad 3.0"],
}


@pytest.mark.parametrize("style", STYLES)
def test_styles_of_tracebacks_apply_to_runs(project, style):
    """In both forms."""
    project.write(RAISES)
    result = project.run("--tb", style, "-n0")
    for name in ("experiment_marked", "experiment_made"):
        result.stdout.fnmatch_lines([f"*{name}::total_increase*", "replicate 0 of 'boost'*", *STYLES[style]])
    result.stdout.no_fnmatch_line("x = 3.0")


def test_a_line_for_each_failure(project):
    """--tb=line shows the place and the reason, and no traceback of a run."""
    project.write(RAISES)
    result = project.run("--tb", "line", "-n0")
    result.stdout.fnmatch_lines(["*/experiment_a.py:*: 6 of 6 replicates of 'boost' are missing*"] * 2)
    result.stdout.no_fnmatch_line("*repeat it*")
    result.stdout.no_fnmatch_line("E  *")


RAISES = """
    def fails(x):
        raise ValueError(f"bad {x}")

    CLAIM = Hypothesis(metric="total", direction="increase")
    BOOST = Treatment("boost", {"delta": 3.0})

    @pytest.mark.experiment(replicates=6, treatments=[BOOST], hypotheses=[CLAIM])
    def experiment_marked(rng, delta=0.0):
        return {"total": fails(delta) if delta else rng.normal()}

    @pipeline_step()
    def measure(data, ctx, *, delta=0.0):
        return data, {"total": fails(delta) if delta else ctx.rng.normal()}

    def experiment_made():
        return Experiment(0, [measure], treatments=[BOOST], hypothesis=CLAIM, replicates=6)
"""


def test_numbers_make_no_kinds_of_failure(project):
    """Messages that differ in numbers alone, their signs and exponents among them, are of one kind."""
    project.write(total(lines=f"return (-1e-9 if rng.random() < 0.5 else 1) * ({VALUE})"))
    result = project.run()
    text = result.stdout.str()
    assert text.count("repeat it: ") == 1
    assert "and 5 more in the same way: replicates 1-5" in text
