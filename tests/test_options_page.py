"""The page of options names what the plugin has, and nothing else."""

import inspect
import re
from pathlib import Path

import pytest

from pytest_crystallize import hookspecs, plugin
from pytest_crystallize.exit_code import ASKING
from pytest_crystallize.isolation.fixtures import CASE, RESERVED, UnitFixtures
from pytest_crystallize.options.mark import KEYWORDS

PAGE = (Path(__file__).parent.parent / "docs" / "options.md").read_text(encoding="utf-8")


class Declared:
    """What a plugin adds to the parser of pytest."""

    def __init__(self):
        self.options, self.inis = {}, {}

    def getgroup(self, name, description):
        return self

    def addoption(self, name, **settings):
        self.options[name] = settings["help"]

    def addini(self, name, text="", **settings):
        self.inis[name] = settings.get("help", text)


@pytest.fixture(scope="module")
def declared():
    """Return the options and ini options of the plugin, with what it says of each."""
    parser = Declared()
    plugin.pytest_addoption(parser)
    return parser


def section(title):
    """Return the first column of a section's table, and what the section says."""
    text = re.split(r"^## ", PAGE.split(f"## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)[1:]
    return " ".join(rows), text


def test_options_and_ini_options(declared):
    """Each has its row, and each row its option."""
    _, text = section("Options and ini options")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert set(re.findall(r"--crystallize[a-z-]*", rows)) == set(declared.options)
    assert set(re.findall(r"\bcrystallize_[a-z_]+", rows)) == set(declared.inis)


def test_options_that_imply_the_flag():
    """Those with a dagger; the page about sessions names the same."""
    _, text = section("Options and ini options")
    assert set(re.findall(r"`--crystallize-(\w+)[^`]*` †", text)) == set(ASKING)
    guide = (Path(__file__).parent.parent / "docs" / "under-pytest.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"^(.*\n.*) ask for what only", guide, re.MULTILINE)
    assert set(re.findall(r"`--crystallize-(\w+)`", named)) == set(ASKING)


def test_keywords_of_the_mark():
    """Those that it takes; the line of ``--markers`` names the same."""
    names, _ = section("The mark")
    assert set(re.findall(r"`(\w+)`", names)) == set(KEYWORDS)
    assert set(re.findall(r"\w+", plugin.MARKER.split("(")[1].split(")")[0])) == set(KEYWORDS)


def test_fixtures():
    """Those of a condition run."""
    names, _ = section("Fixtures")
    fixtures = {name for name, it in vars(UnitFixtures).items() if hasattr(it, "_fixture_function")}
    assert set(re.findall(r"`(\w+)`", names)) == {*RESERVED, CASE} == fixtures


def test_hooks():
    """Those that others may implement, with their arguments."""
    names, _ = section("Hooks")
    hooks = [
        f"{name}({', '.join(inspect.signature(hook).parameters)})"
        for name, hook in vars(hookspecs).items()
        if name.startswith("pytest_crystallize_")
    ]
    assert sorted(re.findall(r"`(.*?)`", names)) == sorted(hooks)


def test_exit_codes():
    """Pytest's, all of them; older ones have fewer."""
    names, _ = section("Exit codes")
    assert {*pytest.ExitCode} <= {int(name) for name in names.split()}


JARGON = re.compile(r"\b(A/A|condition run|factory|journal|look|pilot|plan|records?|units?)s?\b")


def test_help_is_a_line_for_each(declared):
    """A phrase that fits two lines of a narrow terminal, in words that a user of pytest knows."""
    texts = declared.options | declared.inis
    assert {
        name for name, text in texts.items() if not re.fullmatch(r"[A-Z][^\n]{10,108}[^\n.]", text)
    } == set()
    assert {name for name, text in texts.items() if JARGON.search(text)} == set()
    assert {name for name, text in texts.items() if re.search(r"[a-z]\. [A-Z]", text)} == set()


def test_the_mark_and_the_fixtures_are_a_line_each():
    """As ``--markers`` and ``--fixtures`` show them."""
    said = [plugin.MARKER.split("): ")[1]]
    said += [getattr(UnitFixtures, name).__doc__ for name in (*RESERVED, CASE)]
    assert [
        text for text in said if not re.fullmatch(r"\w[^\n]{10,110}\.", text) or JARGON.search(text)
    ] == []
