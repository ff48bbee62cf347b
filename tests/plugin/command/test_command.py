"""The command itself: what may be typed, and what it loads."""

import errno
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from crystallize import Experiment, pipeline_step
from pytest_crystallize import screen
from pytest_crystallize.command.main import console, main

CONSOLE = "from pytest_crystallize.command.main import console; console()"


def printing_to(output, directory, unbuffered):
    """Run ``crystallize new cache`` in a directory, and return how it ended."""
    return subprocess.run(
        [sys.executable, "-c", CONSOLE, "new", "cache"],
        cwd=directory,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_help_loads_nothing_heavy():
    """Neither numpy nor pytest; each subcommand has one line, and the exit codes are told."""
    code = (
        "import sys\n"
        "from pytest_crystallize.command.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'numpy', 'scipy', 'pytest', '_pytest', 'textual', 'crystallize'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "exit codes:\n  0  " in done.stdout
    assert "    new  " in done.stdout


def test_it_is_installed():
    """Under the name that the guides give it."""
    (script,) = entry_points(group="console_scripts", name="crystallize")
    assert script.load() is console


def test_what_may_not_be_typed_is_a_usage_error(capsys):
    """Exit code 2, as argparse has it."""
    for arguments in (["nothing"], ["new"], ["new", "a", "--", "-v"], ["merge"]):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        assert code == 2, arguments
    assert "nothing stands behind --" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_could_not_be_printed_is_no_success(tmp_path, unbuffered):
    """Exit code 2 and a line, rather than a traceback and the code of a claim that is not supported."""
    with Path("/dev/full").open("w") as full:
        done = printing_to(full, tmp_path, unbuffered)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("crystallize: ")
    assert line.endswith(os.strerror(errno.ENOSPC))


@pytest.mark.skipif(sys.platform == "win32", reason="the shell of Windows closes no output")
def test_an_output_that_is_closed_is_no_success(tmp_path):
    """Nobody is told anything, so nothing is done."""
    command = f'"{sys.executable}" -c "{CONSOLE}" new cache >&-'
    done = subprocess.run(command, shell=True, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "crystallize: the standard output is closed, so nothing can be told\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_the_output_can_not_encode_is_escaped(tmp_path, encoding):
    """Names are the user's, and encodings those of terminals."""
    step = pipeline_step()(lambda data: (data, {"größe": 1.0}))
    Experiment(0, [step], name="Été ☃").run().save(tmp_path / "saved.json")
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE, "show", "saved.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith({"ascii": "\\xc9t\\xe9 \\u2603:", "cp1252": "Été \\u2603:"}[encoding])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_no_further_is_told_nothing(tmp_path, unbuffered):
    """A pipe to head, which closes it, ends what is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = printing_to(writing, tmp_path, unbuffered)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (2, "")


def test_the_screen_needs_a_terminal(capsys):
    """Rather than waiting for keys that nobody can press."""
    pytest.importorskip("textual")
    assert main([]) == 2
    assert "needs a terminal; without one, run pytest --crystallize" in capsys.readouterr().err


def test_without_textual_the_screen_names_its_extra(monkeypatch, capsys):
    """And what does without."""
    monkeypatch.setattr(screen, "find_spec", lambda name: None)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert "pip install 'pytest-crystallize[screen]'" in error
    assert "run pytest --crystallize" in error


def test_the_screen_is_given_what_stands_behind_the_dashes(monkeypatch):
    """And its exit code is the command's."""
    given = []
    monkeypatch.setattr(screen, "run_screen", lambda arguments: given.append(arguments) or 7)
    assert main([]) == 7
    assert main(["--", "tests", "-k", "x"]) == 7
    assert given == [[], ["tests", "-k", "x"]]
