"""Signs of life during long replicates."""

import io
import os
import re
import threading

import pytest

from plugin.conftest import total
from pytest_crystallize.report import progress
from pytest_crystallize.report.progress import Progress


@pytest.fixture
def pipe():
    """Return the two ends of a pipe as files."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as reader, os.fdopen(write, "wb", buffering=0) as writer:
        yield reader, writer


def test_lines(pipe, monkeypatch):
    """Where there is no terminal, a line is written now and then."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    reader, writer = pipe
    shown = Progress(writer, on_terminal=False, describe=lambda: "3 of 30 replicates of x", room=lambda: 80)
    line = reader.read(200)
    shown.close()
    assert re.match(rb"\n\d\d:\d\d:\d\d 3 of 30 replicates of x\n", line)


def test_status_on_a_terminal(pipe, monkeypatch):
    """On a terminal a status is written behind the cursor, and taken off again."""
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.01)
    reader, writer = pipe
    shown = Progress(
        writer, on_terminal=True, describe=lambda: "3 of 30 replicates of " + "x" * 100, room=lambda: 40
    )
    status = reader.read(1000)
    shown.close()
    first = status.split(b"\x1b8")[0]
    assert first.startswith(b"\x1b7 3 of 30 replicates of xxx")
    assert len(re.sub(rb"\x1b(\[K|7|8)", b"", first)) <= 40
    writer.close()
    assert reader.read(100_000).endswith(b"\x1b[K")


def test_nothing_to_say(pipe, monkeypatch):
    """Where there is nothing to say, or no room, nothing is written."""
    monkeypatch.setattr(progress, "TERMINAL_SECONDS", 0.001)
    reader, writer = pipe
    asked = threading.Semaphore(0)

    def describe():
        asked.release()
        return ""

    shown = Progress(writer, on_terminal=True, describe=describe, room=lambda: 80)
    assert all(asked.acquire() for _ in range(3))
    shown.close()
    writer.close()
    assert reader.read(100) == b""


def test_it_ends(pipe):
    """Closing ends the thread and its descriptor, a second time too."""
    _, writer = pipe
    before = set(threading.enumerate())  # those of other tests may end meanwhile
    shown = Progress(writer, on_terminal=True, describe=str, room=lambda: 80)
    (thread,) = set(threading.enumerate()) - before
    shown.close()
    shown.close()
    assert not thread.is_alive()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(shown._descriptor)


def test_description_that_fails(pipe, monkeypatch):
    """A description that fails breaks nothing."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.001)
    _, writer = pipe
    asked = threading.Semaphore(0)

    def describe():
        asked.release()
        raise OSError

    shown = Progress(writer, on_terminal=False, describe=describe, room=lambda: 80)
    assert asked.acquire()
    shown.close()


def test_file_without_descriptor():
    """A file without descriptor is refused, for the caller to do without."""
    with pytest.raises((OSError, AttributeError)):
        Progress(io.StringIO(), on_terminal=True, describe=str, room=lambda: 80)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_session_shows_life(project, workers):
    """A session says how many of how many replicates are done, also while the body captures its output."""
    project.raw("conftest.py", "import pytest_crystallize.report.progress as p\np.LINE_SECONDS = 0.05\n")
    project.write(total(replicates=40, lines="import time\ntime.sleep(0.02)"))
    result = project.run_apart(f"-n{workers}")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"\d\d:\d\d:\d\d \d+ of 40 replicates of experiment_total$"])


@pytest.mark.slow
def test_no_life_under_quiet(project):
    """Under -q no progress is shown."""
    project.raw("conftest.py", "import pytest_crystallize.report.progress as p\np.LINE_SECONDS = 0.01\n")
    project.write(total(lines="import time\ntime.sleep(0.02)"))
    project.run_apart("-q").stdout.no_fnmatch_line("*of 6 replicates*")


@pytest.mark.slow
def test_percentage_ends_at_100(project):
    """The percentage counts tests, not tokens, and ends at 100."""
    project.write(total(treatments={name: {"delta": 2.0} for name in ("b1", "b2", "b3")}))
    project.raw(
        "test_b.py", "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_b(n):\n    pass\n"
    )
    result = project.run_workers()
    result.assert_outcomes(passed=8)
    (line,) = (line for line in result.outlines if "%]" in line)
    assert line.startswith("........ ")
    assert line.endswith("[100%]")
    result.stdout.fnmatch_lines(["2 workers [[]8 items[]]*"])
