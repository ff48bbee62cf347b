"""Every python block of the guides, run page by page in the order in which it stands there.

The blocks of a page share their names. A block of "output" directly behind one of "python" is what it prints.
A block behind the name of a file, as in "`machine.py`:", is such a file, which others may import, too.
A block marked ``requires=package`` is left out where the package is not installed.
"""

import importlib.util
import itertools
import re
import sys
import types
from pathlib import Path
from typing import NamedTuple

import pytest

import crystallize
import pytest_crystallize.results
from crystallize import errors, stats, testing
from crystallize.experiment import optimize
from crystallize.stats import power

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted({*DOCS.rglob("*.md")} - {DOCS / "architecture.md"})  # its blocks are files

_BLOCK = re.compile(r"^```(\w+)([^\n`]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`(\w+\.py)`:\n\n\Z")


class Block(NamedTuple):
    """A block of python, and what it prints, if the page says so."""

    line: int
    code: str
    requires: tuple[str, ...]
    output: str | None
    file: str | None


def blocks(text):
    """Return the python blocks of a page."""
    found = []
    end = 0
    for match in _BLOCK.finditer(text):
        language, rest, body = match.groups()
        if language == "python":
            requires = tuple(re.findall(r"requires=(\w+)", rest))
            named = _NAMED.search(text, 0, match.start())
            file = named and named[1]
            found.append(Block(text[: match.start(3)].count("\n"), body, requires, None, file))
        elif language == "output":
            assert found, "output stands behind no python"
            assert not text[end : match.start()].strip(), "output stands directly behind python"
            found[-1] = found[-1]._replace(output=body)
        end = match.end()
    return found


def run_page(name, text, capsys):
    """Run the blocks of a page; errors point to its lines."""
    found = blocks(text)
    module = types.ModuleType("guide")
    ours = {"guide", *(Path(block.file).stem for block in found if block.file)} - {*sys.modules}
    sys.modules["guide"] = module  # so that its functions can be sent to processes
    try:
        for block in found:
            if block.file is not None:
                Path(block.file).write_text(block.code, encoding="utf-8")
            if not all(importlib.util.find_spec(package) for package in block.requires):
                continue
            code = compile("\n" * block.line + block.code, name, "exec", dont_inherit=True)
            capsys.readouterr()
            exec(code, module.__dict__)
            printed = capsys.readouterr().out
            if block.output is not None:
                assert printed == block.output, f"{name}, line {block.line}"
    finally:
        for each in ours:
            sys.modules.pop(each, None)


LONG = {"hypotheses.md"}


def _of_page(page):
    name = page.relative_to(DOCS).as_posix()
    return pytest.param(page, id=name, marks=[pytest.mark.slow] if name in LONG else [])


@pytest.mark.parametrize("page", [_of_page(page) for page in PAGES])
def test_every_block_of_the_guides_runs(page, capsys, tmp_path, monkeypatch):
    """In an empty directory, without a warning, and printing what the page says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "of the guides")  # rather than one in the user's files
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
    text = page.read_text(encoding="utf-8")
    assert text.count("```python") == len(blocks(text)), "a block does not begin or end at a line's start"
    run_page(str(page), text, capsys)


PAGE = """\
# Title

```python
x = 1
print(x)
```

```output
1
```

```python requires=no_such_package
import no_such_package
```

```sh
not python
```

```python
print(x + 1)
```
"""


def test_blocks_are_found_with_their_lines_and_output(capsys):
    """Names last from block to block; other languages, and what can't be run here, are left out."""
    found = blocks(PAGE)
    assert [(block.line, block.requires, block.output) for block in found] == [
        (3, (), "1\n"),
        (12, ("no_such_package",), None),
        (20, (), None),
    ]
    run_page("page.md", PAGE, capsys)


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (PAGE.replace("```output\n1", "```output\n2"), AssertionError),
        (PAGE.replace("x + 1", "y"), NameError),
        (PAGE.replace("x = 1", "x ="), SyntaxError),
        ("```output\n1\n```\n", AssertionError),
    ],
)
def test_a_page_that_is_wrong_fails(page, error, capsys):
    """With another output, an error, or a block of output behind nothing."""
    with pytest.raises(error):
        run_page("page.md", page, capsys)
    assert "guide" not in sys.modules


def headings(text):
    """Return the headings of a page: level and anchor."""
    found = re.findall(
        r"^(#+) (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return [
        (len(level), re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-"))
        for level, title in found
    ]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_one_of_a_site(page):
    """It has one title and no gap between levels; its links lead to files, and to headings in them."""
    text = page.read_text(encoding="utf-8")
    levels = [level for level, _ in headings(text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= level + 1 for level, below in itertools.pairwise(levels))
    anchors = [anchor for _, anchor in headings(text)]
    assert len(set(anchors)) == len(anchors), "two headings of one name: a link leads to the first of them"
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        other = page if not target else DOCS / target
        assert other.exists(), target
        if anchor:
            assert anchor in [name for _, name in headings(other.read_text(encoding="utf-8"))], (
                f"{target}#{anchor}"
            )


def named_in(page):
    """Return what a page names: all that stands between backticks and could be a name."""
    return set(re.findall(r"`([A-Za-z]\w+)`", (DOCS / page).read_text()))


def test_the_guide_names_all_statistics():
    """What is public is documented; what is not worth that is private."""
    assert {*stats.__all__, *power.__all__} <= named_in("statistics.md")


def test_all_names_are_listed():
    """Each public name has its row, and what is listed is there."""
    raised = {name for name in dir(errors) if name.endswith(("Error", "Warning"))}
    public = {*crystallize.__all__, *testing.__all__, *pytest_crystallize.results.__all__, *optimize.__all__}
    ours = {"ctx", "fetch", "help", "run", "arun", "crystallize"}
    assert named_in("names.md") - ours == public | raised


def test_pages_tell_of_the_names_that_the_list_sends_there():
    """A link leads to where at least one of its names is told."""
    for row in (DOCS / "names.md").read_text().splitlines():
        pages = re.findall(r"\((\S+\.md)\)", row)
        names = re.findall(r"`(\w+)`", row)
        if row.startswith("|") and pages:
            told = " ".join((DOCS / page).read_text() for page in pages)
            assert set(names) & set(re.findall(r"\w+", told)), row
