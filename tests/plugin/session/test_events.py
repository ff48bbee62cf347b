"""What a session writes of itself as it goes on, and that the guide tells of every field of it."""

import json
import os
import re
import threading
from pathlib import Path

import pytest

from plugin.conftest import ITEM, TOTAL, total
from pytest_crystallize.session import event_file

GUIDE = Path(__file__).parents[3] / "docs" / "events.md"
TYPES = {"string": str, "number": (int, float), "boolean": bool, "list": list, "object": dict}

FAILING = """
@pytest.mark.experiment(replicates=4, treatments={"odd": {"delta": 1.0}, "off": {"delta": 2.0}})
def experiment_failing(rng, replicate, delta=0.0):
    print("printed")
    if delta and replicate == 2:
        raise ValueError("two")
    return {"total": rng.normal()}
"""
GRAPH = """
numbers = Artifact.json("numbers.json")

@pipeline_step()
def keep(data, ctx):
    ctx.artifacts.add("numbers.json", data)
    return data, {"total": sum(data)}

@pipeline_step()
def again(data, ctx):
    return data, {"again": sum(data)}

def experiment_chain():
    first = Experiment([1, 2], [keep], name="first", outputs=[numbers], replicates=3)
    return ExperimentGraph(first, Experiment(numbers, [again], name="second", replicates=3))
"""


def fields_of(text):
    """Return what the guide says of each event -> of each field, its types; those of an experiment, too."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        event = found.setdefault(re.match(r"`(\w+)`", part)[1], {})
        for line in part.splitlines():
            if line.startswith("| field of an"):
                event = found.setdefault("of an experiment", {})
            names, *rest = (
                [cell.strip() for cell in line.strip("|").split("|")] if line[:3] == "| `" else [""]
            )
            for name in re.findall(r"`(\w+)`", names):
                event[name] = rest[0].split(" or ")
    return found


DOCUMENTED = fields_of(GUIDE.read_text(encoding="utf-8"))


def check(data, documented):
    """Assert that data have the documented fields, each of a documented type."""
    assert data.keys() == documented.keys()
    for name, types in documented.items():
        if data[name] is None:
            assert "null" in types, name
        else:
            assert isinstance(data[name], tuple(TYPES[t] for t in types if t != "null")), name


def read(path):
    """Return the events of a session, each checked against the guide."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        rest = dict(event)
        assert isinstance(rest.pop("time"), float)
        check(rest, {"event": ["string"], **DOCUMENTED[event["event"]]})
        for experiment in event.get("experiments", ()):
            check(experiment, DOCUMENTED["of an experiment"])
    return events


def named(events, name):
    return [event for event in events if event["event"] == name]


def experiment(suffix):
    return f"experiment_a.py::experiment_{suffix}"


@pytest.fixture
def everything(project):
    """Write a project that gives every event."""
    project.write(
        total(
            replicates=40, stopping="GroupSequential()", value="rng.normal() + delta * rng.uniform(0.1, 0.6)"
        )
        + FAILING
        + GRAPH
    )
    project.write("1 / 0", "experiment_b.py")
    return project


OPTIONS = (
    "--crystallize-events=events.jsonl",
    "--crystallize-disable=off",
    "--continue-on-collection-errors",
)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_session_tells_what_it_does(everything, workers):
    """In order, each line as the guide says; the same of the same experiments, whoever runs them."""
    run = everything.run_workers if workers else everything.run
    done = run(*OPTIONS)
    events = read(everything.path / "events.jsonl")
    assert {event["event"] for event in events} == DOCUMENTED.keys() - {"of an experiment"}
    names = [event["event"] for event in events]
    assert names[0] == "session_started"
    assert names[-1] == "session_finished"
    assert names.index("collected") < names.index("runs") < names.index("verdict")
    assert events[0]["workers"] == workers
    assert events[-1]["exit_status"] == done.ret == 1

    (collected,) = named(events, "collected")
    assert [(e["id"], e["graph"], e["reads"], e["off"]) for e in collected["experiments"]] == [
        (experiment("total"), None, [], []),
        (experiment("failing"), None, [], ["off"]),
        (experiment("chain::first"), experiment("chain"), [], []),
        (experiment("chain::second"), experiment("chain"), [experiment("chain::first")], []),
    ]
    (error,) = named(events, "collection_error")
    assert error["node"] == "experiment_b.py"
    assert "ZeroDivisionError" in error["message"]

    # Every run counts once, though groups of them differ.
    counted = {}
    for event in named(events, "runs"):
        assert event["listed"] is None or len(event["listed"]) == sum(event["counts"].values())
        known = counted.setdefault(event["experiment"], {})
        for state, number in event["counts"].items():
            known[state] = known.get(state, 0) + number
    done = {event["experiment"]: event for event in named(events, "experiment_done")}
    assert {key: event["counts"] for key, event in done.items()} == counted
    assert counted[experiment("failing")] == {
        "run": 7, "cached": 0, "failed": 1, "skipped": 0, "not_begun": 0
    }  # fmt: skip
    assert done[experiment("failing")]["off"] == ["off"]

    (failed,) = named(events, "run_failed")
    assert (failed["condition"], failed["replicate"], failed["error"]) == ("odd", 2, "ValueError: two")
    assert 'raise ValueError("two")' in failed["traceback"]
    assert "printed\n" in [text for _, text in failed["output"]]
    assert failed["command"].endswith("--crystallize-repro=2:odd")

    # Looks are those of the verdict, against the same levels.
    (verdict,) = [event for event in named(events, "verdict") if event["test"] == ITEM]
    looks = named(events, "look")
    trail = [[e["replicates"], e["claims"][0]["p_value"], e["claims"][0]["level"]] for e in looks]
    assert trail == verdict["verdict"]["trail"]
    assert [event["look"] for event in looks] == list(range(1, verdict["verdict"]["look"] + 1))
    assert [event["claims"][0]["status"] for event in looks][-1] == verdict["status"] == "supported"


def test_a_second_session_tells_of_cached_runs_and_of_no_pass_of_what_is_off(project):
    """What is stored counts as cached; a treatment that is off is skipped, and has no verdict."""
    project.write(TOTAL)
    project.run()
    project.run("--crystallize-events", "events.jsonl", "--crystallize-cache=reuse")
    states = [
        run["state"]
        for event in named(read(project.path / "events.jsonl"), "runs")
        for run in event["listed"]
    ]
    assert set(states) >= {"cached"}
    project.run("--crystallize-events=events.jsonl", "--crystallize-disable=boost")
    events = read(project.path / "events.jsonl")
    (verdict,) = named(events, "verdict")
    assert (verdict["outcome"], verdict["status"], verdict["verdict"]) == ("skipped", "skipped", None)
    assert events[-1]["statuses"] == {"skipped": 1}
    assert events[-1]["off"] == 1


def test_collection_alone(project):
    """What is there is told without a run."""
    project.write(TOTAL)
    project.run("--collect-only", "--crystallize-events=events.jsonl")
    events = read(project.path / "events.jsonl")
    assert [event["event"] for event in events] == ["session_started", "collected", "session_finished"]
    assert events[0]["collects_only"]


def test_a_path_that_cannot_be_written(project):
    """It is a wrong option, before anything is run."""
    project.write(TOTAL)
    done = project.run("--crystallize-events=nowhere/events.jsonl")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--crystallize-events=nowhere/events.jsonl: it can't be written: *"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("leaves", [False, True])
def test_a_named_pipe(project, leaves):
    """Events go through it; without its reader the session goes on, and says so."""
    until_left = "while not os.path.exists('left'): pass" if leaves else ""
    project.write(total(lines=until_left))
    path = project.path / "pipe"
    os.mkfifo(path)
    lines = []

    def reader():
        with path.open() as pipe:
            lines.extend([pipe.readline()] if leaves else pipe)
        (project.path / "left").touch()

    thread = threading.Thread(target=reader)
    thread.start()
    done = project.run("--crystallize-events=pipe")
    thread.join()
    done.assert_outcomes(passed=1)
    assert json.loads(lines[0])["event"] == "session_started"
    gone = "*--crystallize-events: no further events were written: their reader is gone*"
    if leaves:
        done.stdout.fnmatch_lines([gone])
    else:
        done.stdout.no_fnmatch_line(gone)
        assert json.loads(lines[-1])["event"] == "session_finished"


def test_a_reader_that_takes_nothing_is_given_up(tmp_path, monkeypatch):
    """A pipe that stays full holds up nobody for long."""
    monkeypatch.setattr(event_file, "PATIENCE", 0.05)
    read_end, write_end = os.pipe()
    file = event_file.EventFile(Path(f"/dev/fd/{write_end}"))
    for _ in range(100):
        file.write({"event": "runs", "text": "x" * 10_000})
    assert file.fault == "their reader took nothing for 0.05 s"
    file.close()
    os.close(read_end)
    os.close(write_end)
