"""The screen in a real terminal, and what is left of a session whose screen is killed."""

import os
import shlex
import shutil
import subprocess
import sys
import time

import pytest

pytest.importorskip("textual")

from plugin.session.test_events import named, read

SCREEN = "from pytest_crystallize.screen import run_screen; raise SystemExit(run_screen({arguments}))"

SLOW = """
import time

@pytest.mark.experiment(
    replicates=400,
    treatments={"boost": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
)
def experiment_total(rng, replicate, delta=0.0):
    if replicate < 100:
        time.sleep(0.01)
    while replicate >= 100 and not os.path.exists("go"):  # none is through before the interrupt
        time.sleep(0.01)
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""
KILLED = """
import sys, time
from pytest_crystallize.screen.child import Child

child = Child(["-n0"])
done = 0
while done < 50:
    done = max([done, *(event["done"] for event in child.events() if event["event"] == "runs")])
    time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""
ONCE = """
import time

try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    print("storing", flush=True)
    time.sleep(0.3)  # in which nothing else may come
    print("stored", flush=True)
"""


def wait(condition):
    """Wait for what a condition returns; the time of a test bounds it."""
    while not (found := condition()):
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="processes are killed otherwise there")
def test_a_screen_that_is_killed_ends_pytest_and_loses_nothing(project, tmp_path):
    """What was finished is stored: the next session runs what is left, and no more."""
    project.write(SLOW)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    screen = subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=project.path, stdout=subprocess.PIPE, env=environment
    )
    assert screen.stdout is not None
    with screen.stdout as output:
        assert output.readline() == b"ready\n"
        screen.kill()
        screen.wait()
    (path,) = tmp_path.glob("*/events.jsonl")
    wait(lambda: '"session_finished"' in path.read_text())
    events = read(path)
    assert events[-1]["exit_status"] == pytest.ExitCode.INTERRUPTED
    finished = sum(event["counts"]["run"] for event in named(events, "runs"))
    assert 50 <= finished <= 200
    project.raw("go", "")
    project.run_apart("-n0", "--crystallize-events=events.jsonl").assert_outcomes(passed=1)
    (done,) = named(read(project.path / "events.jsonl"), "experiment_done")
    assert done["counts"]["cached"] + done["counts"]["run"] == 800
    assert done["counts"]["cached"] == finished


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")
def test_a_terminal(project):
    """From a shell: experiments are found, run, cancelled and gone on with; the screen ends with q."""
    project.write(SLOW)
    code = SCREEN.format(arguments=["-n0"])
    command = shlex.join([sys.executable, "-c", code])
    tmux = ["tmux", "-L", f"crystallize-{os.getpid()}", "-f", os.devnull]

    def ask(*arguments):
        return subprocess.run([*tmux, *arguments], capture_output=True, text=True, check=True).stdout

    def seen(text):
        wait(lambda: text in ask("capture-pane", "-p", "-t", "screen"))
        return ask("capture-pane", "-p", "-t", "screen")

    shell = f"cd {shlex.quote(str(project.path))}; {command}; echo ended with $?; exec sh"
    ask("new-session", "-d", "-x", "80", "-y", "24", "-s", "screen", shell)
    try:
        for shown in ("Experiments", "experiment_total", "Treatments", "boost", "Progress", "Run all"):
            first = seen(shown)
        assert all(len(line) <= 80 for line in first.splitlines())
        ask("send-keys", "-t", "screen", "r")
        seen(" to go")
        ask("send-keys", "-t", "screen", "c")
        seen("cancelled")
        project.raw("go", "")
        ask("send-keys", "-t", "screen", "r")
        seen("cached")
        seen("1 supported")
        ask("send-keys", "-t", "screen", "q")
        seen("ended with 0")
    finally:
        ask("kill-server")


def test_a_line_interrupts_and_the_end_of_the_screen_ends_what_is_left(project):
    """The supervisor passes both on, and the exit status back."""
    waiting = "print('up', flush=True); time.sleep(600)"
    code = f"import time\ntry:\n    {waiting}\nexcept KeyboardInterrupt:\n    raise SystemExit(7)"
    for word in (b"interrupt\n", b""):
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "pytest_crystallize.screen.supervisor", sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with supervisor.stdin as given, supervisor.stdout as output:
            assert output.readline() == b"up\n"
            if word:
                given.write(word)
                given.flush()
                assert supervisor.wait() == 7
        assert supervisor.wait() == 7


def test_what_is_cancelled_is_interrupted_once(tmp_path):
    """Whoever asks again, and then goes, leaves it the time to store what is finished."""
    program = tmp_path / "program.py"
    program.write_text(ONCE)
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "pytest_crystallize.screen.supervisor", sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with supervisor.stdin as given, supervisor.stdout as output:
        assert output.readline() == b"up\n"
        given.write(b"interrupt\ninterrupt\n")
        given.flush()
        assert output.readline() == b"storing\n"
        given.close()
        assert output.readline() == b"stored\n"
    assert supervisor.wait() == 0
