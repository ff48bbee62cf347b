"""What is distributed: metadata, extras, the entry point, and typing."""

import importlib
import re
import runpy
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("crystallize", "pytest_crystallize")


@pytest.fixture(scope="module")
def distribution():
    return metadata.distribution("pytest-crystallize")


def test_installed_metadata_is_that_of_the_project(distribution):
    """The distribution that is tested was installed from this project."""
    project = PROJECT["project"]
    assert distribution.version == project["version"]
    assert distribution.metadata["Requires-Python"] == project["requires-python"] == ">=3.11"
    assert distribution.metadata["License-Expression"] == project["license"] == "MIT"
    assert set(distribution.metadata.get_all("Classifier")) == set(project["classifiers"])
    extras = set(project["optional-dependencies"])
    assert set(distribution.metadata.get_all("Provides-Extra")) == extras


def test_entry_point_is_the_light_plugin(distribution):
    """The name under which pytest finds the plugin is crystallize."""
    (entry,) = distribution.entry_points.select(group="pytest11")
    assert (entry.name, entry.value) == ("crystallize", "pytest_crystallize.plugin")
    assert importlib.import_module(entry.value).pytest_addoption


def test_classifiers_name_the_supported_pythons():
    """The classifiers agree with requires-python and with the sessions of nox."""
    found = [c.rsplit(" ", 1)[1] for c in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)]
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert re.search(r"PYTHONS = (\(.*\))", sessions)[1] == str(tuple(found)).replace("'", '"')


def test_the_page_of_versions_says_what_is_allowed_and_run():
    """The oldest are those of pyproject.toml, the others those of the sessions of nox."""
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", page, re.MULTILINE))
    project = PROJECT["project"]
    oldest = dict(dependency.split(">=") for dependency in project["dependencies"])
    assert rows == oldest | {"Python": project["requires-python"].removeprefix(">=")}
    sessions = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    for name, constant in (("Python", "PYTHONS"), ("pytest", "PYTESTS")):
        run = re.findall(r"[\d.]+", re.search(rf"^{constant} = \((.*)\)", sessions, re.MULTILINE)[1])
        assert f"| {name} | {rows[name]} | {', '.join(run)} |" in page


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed_and_shipped(package):
    """The wheel takes whole packages, and each holds py.typed."""
    assert package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (ROOT / package / "py.typed").is_file()
    assert all((path.parent / "__init__.py").is_file() for path in (ROOT / package).rglob("*.py"))


def test_version_is_that_of_the_changelog():
    """The newest entry of the changelog is the project's version, and so is what is cited."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)[1] == PROJECT["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == PROJECT["project"]["version"]


def test_a_typed_program_runs():
    """What `mypy` and `pyright` check is no program that only they can read."""
    runpy.run_path(str(ROOT / "tests" / "typed" / "program.py"), run_name="__main__")


def test_no_newer_package_is_excluded():
    """Nobody can say today that it will not work."""
    assert [d for d in PROJECT["project"]["dependencies"] if not re.fullmatch(r"[\w-]+>=[\d.]+", d)] == []


def test_every_public_name_can_be_imported():
    """What the lazy package lists is there."""
    crystallize = importlib.import_module("crystallize")
    assert {name for name in crystallize.__all__ if not hasattr(crystallize, name)} == set()


def test_sdist_holds_what_git_tracks_but_the_directory_of_ci():
    """By name, since what else lies in the directory belongs to nobody but its owner."""
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    asked = ["git", "-C", str(ROOT), "ls-tree", "--name-only", "HEAD"]
    try:
        tracked = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone of the project")
    if "pyproject.toml" not in tracked:
        pytest.skip("it lies within another project")
    assert {*listed, "pyproject.toml", ".ci"} == set(tracked)


@pytest.mark.slow
def test_wheel_holds_both_packages_and_nothing_else(tmp_path):
    """A wheel that is built holds the sources, the markers of typing and the metadata."""
    build = pytest.importorskip("hatchling.builders.wheel", reason="hatchling builds the wheel")
    (wheel,) = build.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    zipfile = importlib.import_module("zipfile")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    roots = {name.split("/", 1)[0] for name in names}
    assert roots == {*PACKAGES, f"pytest_crystallize-{PROJECT['project']['version']}.dist-info"}
    sources = {p.relative_to(ROOT).as_posix() for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    typed = {f"{package}/py.typed" for package in PACKAGES}
    assert sources | typed <= names
