"""Annotations of a pull request on GitHub, as a job's workflow commands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crystallize.seam import printable, printable_lines

_ANNOTATES_ALREADY = "pytest_github_actions_annotate_failures"


def wanted(config: pytest.Config) -> bool:
    """Return whether this is a job of GitHub Actions in which nobody else annotates what fails."""
    in_job = os.environ.get("GITHUB_ACTIONS") == "true"
    return in_job and not config.pluginmanager.hasplugin(_ANNOTATES_ALREADY)


def annotation(path: Path, line: int, *, title: str, message: str) -> str:
    """Return the line that has GitHub show a message beside a line of a file.

    Parameters
    ----------
    path : Path
        The file; told relative to ``GITHUB_WORKSPACE``, if it lies there.
    line : int
        From 1.
    title, message : str
        What is shown.
    """
    places = {"file": _in_workspace(path), "line": str(line), "title": title}
    properties = ",".join(f"{key}={_property(value)}" for key, value in places.items())
    return f"::error {properties}::{_data(printable_lines(message))}"


def _in_workspace(path: Path) -> str:
    workspace = os.environ.get("GITHUB_WORKSPACE")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what the repository calls them
    if workspace and absolute.is_relative_to(workspace):
        return absolute.relative_to(workspace).as_posix()
    return absolute.as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")
