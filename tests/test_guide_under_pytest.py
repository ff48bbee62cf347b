"""Sessions on the pages of the guide print what is shown there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_guides import run_page

PAGE_DIRECTORY = Path(__file__).parent.parent / "docs"
PAGE = (PAGE_DIRECTORY / "under-pytest.md").read_text(encoding="utf-8")
FILES = re.findall(r"`(experiment_\w+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SESSIONS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

_SIGN_OF_LIFE = re.compile(r"\n\d\d:\d\d:\d\d \d+ of \d+ replicates of .*\n")
"""What a session says once a minute, if it takes that long."""


@pytest.fixture
def pages_files(tmp_path):
    """Write each file of the page."""
    for name, code in FILES:
        (tmp_path / name).write_text(code, encoding="utf-8")
    return tmp_path


def run(directory, command, **environment):
    """Run a command of the page; of the surrounding session's environment nothing of pytest's is left."""
    program, *arguments = shlex.split(command)
    assert program == "pytest"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "no:randomly", *arguments],
        cwd=directory,
        env=kept | {"COLUMNS": "80"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("session", SESSIONS, ids=[session.split("\n", 1)[0][2:] for session in SESSIONS])
def test_shows_lines_that_are_printed(pages_files, session):
    """Every line below a command is one of its output, in that order."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        done = run(pages_files, command)
        assert done.returncode == 0, done.stdout + done.stderr
        printed = iter(_SIGN_OF_LIFE.sub("", done.stdout).splitlines())
        missing = [line for line in shown.splitlines() if line and line not in printed]
        assert not missing, done.stdout


@pytest.mark.slow
def test_ci_neither_reads_nor_writes_what_is_switched_off(pages_files):
    """A restored cache silences nothing; the option holds for its run."""
    state = pages_files / ".pytest_cache/d/crystallize/config.state.json"
    command = "pytest --crystallize experiment_retry.py"
    off = f"{command} --crystallize-disable=once"
    assert "2 skipped" in run(pages_files, off, CI="1").stdout
    assert not state.exists()
    run(pages_files, off)
    before = state.read_bytes()
    printed = run(pages_files, command, CI="1").stdout
    assert "skipped" not in printed
    assert "are on (once)" in printed
    assert state.read_bytes() == before


@pytest.mark.slow
def test_a_graphs_downstream_test_runs_what_it_needs(pages_files):
    """With several workers, and the upstream experiment deselected."""
    printed = run(pages_files, "pytest --crystallize -n2 -k predict experiment_words.py").stdout
    assert "2 passed" in printed
    assert printed.count("SUPPORTED") == 2


@pytest.mark.slow
def test_missing_evidence_is_no_expected_failure(pages_files):
    """The hypothesis is INVALID and fails, and the line below it repeats the replicate."""
    broken = (pages_files / "experiment_retry.py").read_text(encoding="utf-8")
    fails = "    assert ctx.replicate != 3 or not retries\n"
    broken = broken.replace("    delivered =", f"{fails}    delivered =")
    (pages_files / "experiment_retry.py").write_text(broken, encoding="utf-8")
    printed = run(pages_files, "pytest --crystallize experiment_retry.py -k sent").stdout
    assert "2 failed" in printed
    assert "INVALID" in printed
    line = re.search(r"^repeat it: (.*)$", printed, re.MULTILINE)[1]
    assert run(pages_files, line).returncode == 1
    assert run(pages_files, line.replace("3:once", "4:once")).returncode == 0


@pytest.mark.slow
def test_asynchronous_replicates_wait_at_the_same_time(pages_files):
    """Both conditions of as many replicates as the ini option says."""
    source = (pages_files / "experiment_words.py").read_text(encoding="utf-8")
    begin = "    global now, most\n    now += 1\n    most = max(most, now)\n"
    wait = "    for _ in range(300): await asyncio.sleep(0)\n    now -= 1\n"  # turns of the loop, not time
    source = "import asyncio\nnow = most = 0\n" + source.replace("    counts =", f"{begin}{wait}    counts =")
    source += "\n\ndef test_most():\n    print('at once:', most)\n"
    (pages_files / "experiment_words.py").write_text(source, encoding="utf-8")
    for option, expected in ((), 20), (("-o", "crystallize_max_concurrency=3"), 6):
        command = shlex.join(["pytest", "--crystallize", "-s", *option, "experiment_words.py"])
        assert f"at once: {expected}\n" in run(pages_files, command).stdout


REFERENCES = (PAGE_DIRECTORY / "references.md").read_text(encoding="utf-8")


def _undated(text):
    """Return a text in which every commit and date is the same."""
    return re.sub(r"commit [0-9a-f]{12} on [-0-9]{10} [0-9:]{5}", "commit c0ffee on 2026-01-02 03:04", text)


@pytest.mark.slow
def test_the_page_about_references_shows_what_is_printed(tmp_path):
    """Recorded as it stands, and compared after each of its two changes."""
    ((name, code),) = re.findall(
        r"`(experiment_\w+\.py)`[^\n]*\n\n```python\n(.*?)^```$", REFERENCES, re.MULTILINE | re.DOTALL
    )
    sessions = re.findall(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", REFERENCES, re.MULTILINE | re.DOTALL)
    assert len(sessions) == 4  # the last one adds to what others have recorded
    (tmp_path / name).write_text(code, encoding="utf-8")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@example.org commit -qm one"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    for candidates, status, (command, shown) in zip((16, 8, 2), (0, 0, 1), sessions[:3], strict=True):
        changed = code.replace("CANDIDATES = 16", f"CANDIDATES = {candidates}")
        (tmp_path / name).write_text(changed, encoding="utf-8")
        done = run(tmp_path, command, PYTHONDONTWRITEBYTECODE="1")
        assert done.returncode == status, done.stdout + done.stderr
        printed = iter(_undated(done.stdout).splitlines())
        missing = [line for line in _undated(shown).splitlines() if line not in printed]
        assert not missing, done.stdout


def _words(text):
    """Return the words of a text, as wide as its lines may be; what belongs to a session is left out."""
    return re.sub(r" \(\S+T\S+, .*?\)(?= against)", "", _undated(" ".join(text.split()))).split()


@pytest.mark.slow
def test_the_page_about_the_command_shows_what_compare_prints(tmp_path):
    """Of the program of the page about references, and its change."""
    page = (PAGE_DIRECTORY / "command.md").read_text(encoding="utf-8")
    sessions = re.findall(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ((command, output),) = ((c[len("crystallize ") :], o) for c, o in sessions if " compare " in c)
    code = re.search(r"^```python\n(.*?)^```$", REFERENCES, re.MULTILINE | re.DOTALL)[1]
    file = tmp_path / "experiment_cache.py"
    file.write_text(code, encoding="utf-8")
    for git in ("init -q", "add .", "-c user.name=a -c user.email=a@example.org commit -qm one"):
        subprocess.run(["git", *git.split()], cwd=tmp_path, check=True)
    run(tmp_path, "pytest --crystallize --crystallize-report=main.json")
    file.write_text(code.replace("CANDIDATES = 16", "CANDIDATES = 8"), encoding="utf-8")
    run(tmp_path, "pytest --crystallize --crystallize-report=branch.json")
    call = "import sys; from pytest_crystallize.command.main import main; sys.exit(main(sys.argv[1:]))"
    program = [sys.executable, "-P", "-c", call, *shlex.split(command)]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _words(done.stdout) == _words(output)


def _untimed(text):
    """Return the lines of a text without times, and with rulers of one length."""
    text = re.sub(r"=+", "=", re.sub(r"\d+\.\d+ ?s\b", "<time>", text))
    return [line for line in text.splitlines() if line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["first-verdict", "compare-models", "search-and-confirm", "simulate", "verdicts"]
)
def test_other_pages_show_what_is_printed(page, tmp_path, monkeypatch, capsys):
    """Behind their blocks of Python, which write the files; times apart, line by line."""
    if page == "compare-models":
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    text = (PAGE_DIRECTORY / f"{page}.md").read_text(encoding="utf-8")
    run_page(page, text, capsys)
    sessions = re.findall(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert sessions
    for command, shown in sessions:
        done = run(tmp_path, command)
        assert (done.returncode == 1) == ("INCONCLUSIVE" in shown), done.stdout + done.stderr
        printed = iter(_untimed(done.stdout))
        missing = [line for line in _untimed(shown) if line not in printed]
        assert not missing, done.stdout


def _figureless(text):
    """Return the lines of a text with one sign for each figure, and one space between words."""
    return [" ".join(re.sub(r"[-+]?\d[\d.]*", "#", line).split()) for line in text.splitlines() if line]


@pytest.mark.slow
def test_the_page_about_times_shows_what_is_printed(tmp_path):
    """But for the figures, which belong to the machine."""
    page = (PAGE_DIRECTORY / "time-code.md").read_text(encoding="utf-8")
    name, code = re.search(
        r"`(experiment_\w+\.py)`:\n\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ).groups()
    (tmp_path / name).write_text(code, encoding="utf-8")
    ((command, shown),) = re.findall(r"^```console\n\$ ([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    done = run(tmp_path, command)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = iter(_figureless(done.stdout))
    missing = [line for line in _figureless(shown) if line not in printed]
    assert not missing, done.stdout
