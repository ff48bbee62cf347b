"""What the screen shows and does, driven by keys and the mouse.

What the documents that fixed the API say of it is shown here:

- "the right-hand Treatments tree lists every treatment attached to the experiment (or each experiment in a
  graph)": `test_from_what_is_there_to_what_came_out`;
- "Press x to toggle the highlighted treatment. The state is persisted in config.state.json, so the next run
  remembers disabled variants": `test_x_toggles_the_highlighted_treatment`, and with the next run of pytest
  `test_what_the_screen_shows_is_what_pytest_gave`;
- "The summary tab labels disabled treatments and focuses hypothesis output on those that were active":
  `test_disabled_treatments_are_labelled_and_no_pass` (test_state.py);
- "watch the CLI highlight cached runs": `test_cached_runs_and_steps_have_a_colour_of_their_own`
  (test_state.py).
"""

import asyncio
import json
import re
import subprocess
import sys

import pytest

pytest.importorskip("textual")

from textual.widgets import DataTable, Footer, Static, TabbedContent

from plugin.screen.conftest import Recorded
from plugin.session.test_events import named, read
from pytest_crystallize.screen.app import RunScreen
from pytest_crystallize.screen.child import Child
from pytest_crystallize.screen.widgets import ExperimentTree, FailureView, Panel, TreatmentTree


def shown(app, selector, kind=Static):
    """Return the text of a widget."""
    return str(app.query_one(selector, kind).render())


def drive(script, children, size=(80, 24)):
    """Run a script of a pilot on a screen whose sessions are given, and return what was asked of pytest."""
    left = list(children)

    def start(arguments):
        child = left.pop(0)
        child.asked = list(arguments)
        return child

    async def run():
        app = RunScreen(["-q"], child=start)
        app.animation_level = "none"
        async with app.run_test(size=size) as pilot:
            await told(app, pilot)
            await script(app, pilot)

    asyncio.run(run())
    return [child.asked for child in children]


async def until(pilot, condition):
    """Wait for a condition of the screen, as long as the test may last."""
    while not condition():
        await pilot.pause()


async def told(app, pilot):
    """Have the screen take in what its child has told; wait for what it then highlights, if anything."""
    app.tick()
    experiments, treatments = app.query_one(ExperimentTree), app.query_one(TreatmentTree)
    if app.state.experiments:
        await until(pilot, lambda: experiments.highlighted and treatments.highlighted[0])


def ended(events, status=0):
    child = Recorded(events)
    child.exit_status = status
    return child


def text_of(tree):
    """Return the lines of a tree."""
    found = []

    def visit(node):
        for child in node.children:
            found.append(str(child.label))
            visit(child)

    visit(tree.root)
    return found


@pytest.mark.slow
def test_from_what_is_there_to_what_came_out(collected, events):
    """Experiments left, graphs with members; treatments right; run, fail, open, sum up; by keys and mouse."""
    child = Recorded(events[:8])

    async def script(app, pilot):
        tree, treatments = app.query_one(ExperimentTree), app.query_one(TreatmentTree)
        names = [line.split()[1] if " " in line else line for line in text_of(tree)]
        assert names == ["experiment_total", "experiment_failing", "experiment_chain", "first", "second"]
        assert text_of(treatments)[0] == "experiment_total"
        assert [line.split()[1] for line in text_of(treatments)[1:]] == ["boost", "less"]
        keys = {binding.binding.key for binding in app.active_bindings.values() if binding.binding.show}
        assert {"r", "e", "c", "x", "f", "s", "q"} <= keys
        assert app.query_one(Footer).display

        await pilot.press("r")
        await until(pilot, lambda: "running · 0 of 4 experiments" in shown(app, "#status"))
        await until(pilot, lambda: not child.left)
        assert "%" in text_of(tree)[0]
        child.left, child.exit_status = events[8:], 1
        await told(app, pilot)
        assert app.exit_status == 1
        assert text_of(tree)[0].endswith("1 off")
        assert text_of(tree)[1].endswith("1 failed")
        assert "1 off, not tested" in shown(app, "#status")

        await pilot.press("down", "down")  # the graph: treatments of each of its experiments
        await until(pilot, lambda: text_of(treatments)[0].startswith("first"))
        assert [line.split()[0] for line in text_of(treatments)] == ["first", "●", "second", "●"]
        assert "reads first" in text_of(treatments)[2]

        failures = app.query_one("#failures", DataTable)
        await pilot.press("f")
        await until(pilot, lambda: failures.has_focus)
        assert failures.row_count == 1
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, FailureView))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, FailureView))
        await pilot.click("#--content-tab-summary-pane")
        await until(pilot, lambda: app.query_one(TabbedContent).active == "summary-pane")
        await until(pilot, lambda: "less: SWITCHED OFF" in shown(app, "#verdicts", Panel))
        before = app.theme
        await pilot.press("t")
        await until(pilot, lambda: app.theme != before)
        assert app.export_screenshot()

    assert drive(script, [ended(collected), child]) == [["-q", "--collect-only", "-q"], ["-q"]]


async def highlight_less(app, pilot):
    """Highlight the second treatment of the first experiment."""
    treatments = app.query_one(TreatmentTree)
    await until(pilot, lambda: treatments.highlighted[1] == "boost")
    await pilot.press("tab")
    await until(pilot, lambda: treatments.has_focus)
    await pilot.press("down")
    await until(pilot, lambda: treatments.highlighted[1] == "less")


def test_x_toggles_the_highlighted_treatment(collected, tmp_path):
    """In its experiment alone, in the file that the next session reads, and back again."""
    state = tmp_path / "config.state.json"
    collected[0]["state"] = str(state)
    collected[1]["experiments"][0]["off"] = []

    async def script(app, pilot):
        treatments, notes = app.query_one(TreatmentTree), []
        app.notify = lambda message, **_: notes.append(message)
        await highlight_less(app, pilot)
        await pilot.press("x")
        await until(pilot, lambda: text_of(treatments)[2].startswith("○ less  switched off"))
        own = {"experiment_a.py::experiment_total": {"disabled": ["less"]}}
        assert json.loads(state.read_text()) == {"disabled_treatments": [], "experiments": own}
        await pilot.press("x")
        await until(pilot, lambda: text_of(treatments)[2].startswith("● less"))
        assert json.loads(state.read_text()) == {"disabled_treatments": []}
        await pilot.press("up", "up", "x")  # an experiment is no treatment
        await until(pilot, lambda: notes)
        assert notes == ["Highlight a treatment first."]

    drive(script, [ended(collected)])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(40, 12), (200, 60)])
def test_any_size_run_one_and_cancel(collected, events, size):
    """Run the highlighted one alone, cancel it, and leave while a session goes on, which ends first."""
    one, all_ = Recorded(events[:6]), Recorded(events[:6])
    looking = Recorded(collected)

    async def script(app, pilot):
        await pilot.press("e")  # it waits for the end of looking
        looking.exit_status = 0
        await until(pilot, lambda: one.asked and not one.left)
        await pilot.press("r")  # nothing else begins meanwhile
        await pilot.press("c")
        await until(pilot, lambda: "cancelled" in text_of(app.query_one(ExperimentTree))[0])
        assert one.interrupted == 1
        assert all_.asked is None
        await pilot.press("r")
        await until(pilot, lambda: all_.asked)
        await pilot.press("q")
        while app.is_running:
            await asyncio.sleep(0)
        assert all_.interrupted == 1

    asked = drive(script, [looking, one, all_], size)
    assert asked[1:] == [["-q", "/project/experiment_a.py::experiment_total"], ["-q"]]


@pytest.mark.slow
def test_what_could_not_be_collected_is_told(collected):
    """Also that pytest itself did not begin."""
    broken = {"event": "collection_error", "time": 0.0, "node": "experiment_b.py", "message": "no"}
    started, _, finished = collected

    async def script(app, pilot):
        assert "1 file could not be collected" in shown(app, "#status")
        await pilot.press("g")
        await until(pilot, lambda: "pytest ended with status 4: see the log" in shown(app, "#status"))
        await until(pilot, lambda: app.query_one(TabbedContent).active == "log-pane")

    nothing = {"event": "collected", "time": 0.0, "experiments": []}
    drive(script, [ended([started, broken, nothing, finished], 1), ended([], 4)])


PROJECT = """
@pytest.mark.experiment(
    replicates=30,
    treatments={"boost": {"delta": 3.0}, "less": {"delta": -3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, delta=0.0):
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""


@pytest.mark.slow
def test_what_the_screen_shows_is_what_pytest_gave(project, monkeypatch):
    """What is switched off here is off in the next session of pytest, too, until it is on again."""
    project.write(PROJECT)
    monkeypatch.chdir(project.path)

    async def run():
        app = RunScreen(["-n0", "-p", "no:randomly"])
        async with app.run_test(size=(80, 24)) as pilot:
            await highlight_less(app, pilot)
            await pilot.press("x", "r")
            await until(pilot, lambda: "1 off, not tested" in shown(app, "#status"))
            assert app.exit_status == 0
            await pilot.press("s")
            await until(pilot, lambda: "less: SWITCHED OFF" in shown(app, "#verdicts", Panel))
            assert "1 off, not tested" in shown(app, "#status")

    asyncio.run(run())
    project.run_apart("--crystallize-events=events.jsonl").assert_outcomes(passed=1, skipped=1)
    events = read(project.path / "events.jsonl")
    assert {key for e in named(events, "runs") for key, n in e["counts"].items() if n} == {"cached"}
    project.run("--crystallize-enable=less").assert_outcomes(passed=1, failed=1)


@pytest.mark.slow
def test_a_child_that_is_closed_is_ended_and_leaves_nothing(project, monkeypatch, tmp_path):
    """Its processes end with it, and so do its files."""
    monkeypatch.chdir(project.path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    child = Child(["--version"])
    while child.exit_status is None:
        child.output()
    child.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_a_screen_that_was_killed_has_left_is_removed(project, monkeypatch, tmp_path):
    """By the next one, unless it is another's that goes on."""
    monkeypatch.chdir(project.path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pytest_crystallize.records.directories.STALE_SECONDS", -1.0)
    code = (
        "import os, tempfile\n"
        "from pytest_crystallize.screen.child import Child\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "child = Child(['--version'])\n"
        "while child.exit_status is None: child.output()\n"
        "print('up', flush=True)\n"
        "input()\n"
        "os._exit(1)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"up\n"
        (left,) = tmp_path.iterdir()
        Child(["--version"]).close()
        assert list(tmp_path.iterdir()) == [left]
        other.stdin.write(b"\n")
    Child(["--version"]).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_no_colour(collected, events, monkeypatch):
    """Where the environment asks for none, all is grey; signs differ."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: "failed" in text_of(app.query_one(ExperimentTree))[1])
        picture = re.sub(r"<circle.*?/>", "", app.export_screenshot())  # the buttons of its frame
        colours = [bytes.fromhex(found) for found in re.findall(r'fill(?:="|: )#(\w{6})', picture)]
        assert len(set(colours)) > 2
        assert max(max(colour) - min(colour) for colour in colours) < 5

    drive(script, [ended(collected), Recorded(events)])
