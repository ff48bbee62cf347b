"""The reference: every public name has an entry that says what it takes, and shows it in use."""

import doctest
import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
SPEC = importlib.util.spec_from_file_location("public", DOCS / "_ext" / "public.py")
public = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(public)

NAMES = {
    f"{module}.{name}": value
    for module in public.MODULES
    for name, value in public.public_of(module).items()
    if public.is_defined(value)
}
DEFINED_IN = sorted({value.__module__ for name, value in NAMES.items() if ".stats." not in name})
NEEDS = {"crystallize.experiment.optimize.with_optuna": "optuna", "crystallize.testing": "hypothesis"}
GIVEN = ("pytest_crystallize.results.", "crystallize.errors.")
"""Modules of names that users are given, and do not make."""


def documented(doc):
    """Return the parameters and attributes that a docstring tells of."""
    names = set()
    for section in re.findall(
        r"^(?:Parameters|Attributes)\n-+\n((?:(?!^\w+\n-+$).*\n?)*)", doc, re.MULTILINE
    ):
        for line in re.findall(r"^\S.*", section, re.MULTILINE):
            names.update(name.strip().lstrip("*") for name in line.split(" : ")[0].split(","))
    return names


def undocumented(name, value):
    """Return the parameters that the entry of a name leaves out; what is not made by users has attributes."""
    doc = inspect.getdoc(value)
    if name.startswith(GIVEN) or ("\nAttributes\n" in doc and "\nParameters\n" not in doc):
        return set()
    parameters = inspect.signature(value).parameters.values()
    named = {each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    return named - documented(doc)


def test_each_tells_what_it_takes():
    """All parameters of functions and of what users make."""
    assert all(inspect.getdoc(value) for value in NAMES.values())
    assert {name: lacking for name, value in NAMES.items() if (lacking := undocumented(name, value))} == {}


def test_each_is_shown_in_use():
    """By an example, which runs below."""
    made = {name: value for name, value in NAMES.items() if not name.startswith(GIVEN)}
    assert [name for name, value in made.items() if "\nExamples\n" not in inspect.getdoc(value)] == []


@pytest.mark.parametrize("module", DEFINED_IN)
def test_examples_are_true(module, tmp_path, monkeypatch):
    """What they show is what happens."""
    if module in NEEDS:
        pytest.importorskip(NEEDS[module])
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(module))
    assert found.failed == 0


def test_all_are_listed_in_the_page_of_all_names():
    """By name; functions of arrays in the page about these."""
    listed = set(re.findall(r"`(\w+)`", (DOCS / "names.md").read_text(encoding="utf-8")))
    listed |= set(re.findall(r"`(\w+)`", (DOCS / "statistics.md").read_text(encoding="utf-8")))
    assert {name.rpartition(".")[2] for name in NAMES} - listed == set()


def test_every_page_is_in_the_index():
    """So that the navigation of the site, which is made of the index, leads to it."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)[#)]", index))
    assert linked == {path.name for path in DOCS.glob("*.md")} - {"index.md"}
