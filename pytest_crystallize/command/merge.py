"""``crystallize merge``: one verdict per claim from the shards of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_crystallize.command.main import CommandError
from pytest_crystallize.records.shards import MergedShards, ShardFile
from pytest_crystallize.session.in_process import IN_PROCESS
from pytest_crystallize.session.sharding import MergingSession


def merge(
    files: Sequence[str],
    *,
    json: str | None = None,
    html: str | None = None,
    md: str | None = None,
    behind: Sequence[str] = (),
) -> int:
    """Judge what shards have run, in a session that collects the suite and runs nothing of it.

    Parameters
    ----------
    files : sequence of str
        Those that the shards wrote.
    json, html, md : str, optional
        Where reports are to be written.
    behind : sequence of str
        Further arguments of pytest.

    Returns
    -------
    int
        Exit code of pytest.
    """
    merged = MergedShards([ShardFile.read(file) for file in files])
    reports = []
    for suffix, path in (("json", json), ("html", html), ("md", md)):
        if path is not None and Path(path).suffix.lower() != f".{suffix}":
            raise CommandError(f"--{suffix}={path}: the file ends in .{suffix}")
        reports += [] if path is None else [f"--crystallize-report={path}"]
    arguments = ["--crystallize", *IN_PROCESS, *merged.first.arguments, *reports, *behind]
    return int(pytest.main(arguments, plugins=[MergingSession(merged)]))
