"""The page on how it works inside: what it names is where it says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROWS = re.findall(
    r"^\| (\d+) \| `(\S+\.py)` `([\w.]+)` \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
)


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
    """Both walks are told whole, and stay short enough to keep in mind."""
    numbers = [int(row[0]) for row in ROWS]
    ends = [i for i in range(len(numbers)) if numbers[i + 1 : i + 2] in ([], [1])]
    assert numbers == [*range(1, numbers[ends[0]] + 1), *range(1, numbers[ends[1]] + 1)]
    assert max(numbers) <= 12
