"""The page on how it works inside: what it names is where it says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| `(\S+\.py)` `([\w.]+)` \|", PAGE, re.MULTILINE)
FILES = re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def names(path):
    """Return the functions of a module, and the methods by their class."""
    for node in ast.parse(path.read_text()).body:
        yield getattr(node, "name", None)
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            yield f"{node.name}.{getattr(inner, 'name', '')}"


@pytest.mark.parametrize(("path", "function"), sorted({row[1:] for row in ROWS}))
def test_each_stop_of_the_walk_is_there(path, function):
    """A function that moves takes its row with it."""
    assert function in names(ROOT / path)


def test_a_replicate_is_at_its_verdict_within_twelve_stops():
    """Each walk is told whole, and stays short enough to keep in mind."""
    numbers = [int(row[0]) for row in ROWS]
    lengths = [n for n, behind in zip(numbers, [*numbers[1:], 1], strict=True) if behind == 1]
    assert numbers == [number for length in lengths for number in range(1, length + 1)]
    assert max(numbers) <= 12


def test_the_tree_is_that_of_the_house():
    """Each room is in it, and nothing else."""
    told, package = set(), ""
    for line in re.search(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1].splitlines():
        name = line.split()[0].rstrip("/")
        package = package if line.startswith(" ") else name
        if line.startswith(" "):
            told.add(f"{package}/{name}")
    packages = (ROOT / package for package in ("crystallize", "pytest_crystallize"))
    rooms = {path.parent for package in packages for path in package.glob("*/__init__.py")}
    assert told == {room.relative_to(ROOT).as_posix() for room in rooms}


def test_names_in_the_recipes_are_where_they_say():
    """A path in the text is a file or directory of the project; of a name beside it, the module has it."""
    paths = re.findall(r"`((?:crystallize|pytest_crystallize|tests|docs|benchmarks)/[\w/.]*)`", PAGE)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for path, name in re.findall(r"in\s+`(\S+\.py)` \(`(\w+)`\)", PAGE):
        assert re.search(rf"^(?:class |def )?{name}\b", (ROOT / path).read_text(), re.MULTILINE), (
            f"{path}: {name}"
        )


def test_a_statistic_and_a_report_format_of_ones_own(tmp_path):
    """Done as the recipes say, word by word, they give a verdict and a file."""
    for name, code in FILES:
        (tmp_path / name).write_text(code)
    command = [sys.executable, "-P", "-m", "pytest", "--crystallize", "-p", "no:randomly", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "root t" in done.stdout
    (row,) = (tmp_path / "verdicts.tsv").read_text().splitlines()
    test, status, p_value = row.split("\t")
    assert (test, status) == ("experiment_counts.py::experiment_counts::served_increase[faster]", "supported")
    assert 0 <= float(p_value) < 0.05
