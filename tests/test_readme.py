"""The README: its examples run, its output is what they print, and its tables name what exists."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "https://github.com/crystallize-dev/crystallize"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def pytest_run(directory, *arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["COLUMNS"] = "80"
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def without_times(text):
    text = re.sub(r"\d+\.\d+ ?s\b", "<time>", text)
    return [re.sub(r"=+", "=", line).rstrip() for line in text.strip().splitlines()]


@pytest.fixture
def examples(tmp_path):
    cache, library = blocks("python")
    (tmp_path / "experiment_cache.py").write_text(cache, encoding="utf-8")
    (tmp_path / "library.py").write_text(library, encoding="utf-8")
    return tmp_path


def test_shows_what_the_first_example_prints(examples):
    """The output in the README is that of the command above it, times apart."""
    command, shown = blocks("console")[0].split("\n", 1)
    arguments = command.removeprefix("$ pytest ").split()
    session = pytest_run(examples, "-p", "no:randomly", *arguments)
    assert session.returncode == 0, session.stdout + session.stderr
    printed = session.stdout
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":  # which draws other numbers from Zipf's distribution
        printed, shown = (re.sub(r" *\d[\d.]*", " <number>", text) for text in (printed, shown))
    assert without_times(printed) == without_times(shown)


def test_first_example_has_about_thirty_lines():
    """The example stays one that can be read at a glance."""
    assert len(blocks("python")[0].splitlines()) <= 32


def test_output_fits_eighty_columns():
    """What is shown is no wider than a terminal."""
    assert max(map(len, blocks("console")[0].splitlines())) <= 80


def test_the_picture_of_the_session_shows_its_output():
    """The picture was made of the same example by the script beside it, and holds the same text."""
    picture = ElementTree.parse(ROOT / "docs" / "images" / "session.svg")
    rows = {}
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        rows.setdefault(float(text.get("y")), []).append(text.text)
    lines = ["".join(parts).replace("\xa0", " ") for parts in rows.values()]
    shown = [line for line in blocks("console")[0].splitlines() if line]
    assert without_times("\n".join(lines)) == without_times("\n".join(shown))


def test_library_example_runs(examples):
    """The library's example runs without pytest, and prints what is said behind it."""
    process = subprocess.run(
        [sys.executable, "library.py"], cwd=examples, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == blocks("python")[1].rsplit("# ", 1)[1]


def test_is_short():
    """It says what, why and where to go next; the guides say the rest."""
    assert len(README.splitlines()) < 200


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="an sdist is without the directory of CI")
def test_set_up_commands_are_what_ci_runs():
    """CI runs the README's two commands, in an environment with the extras that they name."""
    first, second = (block.strip() for block in blocks("console")[1:3])
    assert first == '$ pip install -e ".[examples]" && pytest --crystallize -n auto example_suite'
    assert second == '$ pip install -e ".[test]" && pytest'
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert '".[test,examples]"' in ci
    assert re.search(r'^step "example suite" pytest --crystallize -n auto example_suite$', ci, re.MULTILINE)
    assert re.search(r"^step tests pytest$", ci, re.MULTILINE)


def test_names_every_extra():
    """Those that are for users."""
    extras = {*metadata.metadata("pytest-crystallize").get_all("Provides-Extra")}
    for_developers = {"compatibility", "docs", "examples", "test"}
    table = README.split("| extra |", 1)[1].split("\n\n", 1)[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == extras - for_developers


LINKS = re.findall(r"\]\(([^)]+)\)", README)


def test_links_exist():
    """What a clone shows leads somewhere."""
    own = [link.split("#", 1)[0] for link in LINKS if not link.startswith(("https:", "#"))]
    assert own
    assert [link for link in own if not (ROOT / link).exists()] == []


def test_links_are_addresses_where_the_readme_leaves_the_project():
    """PyPI shows it beside no file: every link and picture there has the address of the project."""
    links = re.findall(r"\]\(([^)]+)\)", metadata.metadata("pytest-crystallize").json["description"])
    homes = (f"{PROJECT}/blob/main/", f"{PROJECT.replace('github', 'raw.githubusercontent')}/main/")
    shown = [link.removeprefix(homes[link.endswith((".svg", ".png"))]) for link in links]
    assert shown == LINKS
