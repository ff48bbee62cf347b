"""Hooks of a session that compares with another commit: its worktree, its process, and what is said of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from crystallize.seam import printable, short_commit
from pytest_crystallize.against.commit_runs import CommitRuns
from pytest_crystallize.against.revision import Checkout, RevisionError, Worktrees
from pytest_crystallize.units.settings import Settings

DIRECTORY = "revisions"


class OtherCommit:
    """Another commit in one process of a session.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    settings : Settings
        Of the session, which are told who makes its runs.
    told : mapping or None
        On a worker, what the controlling process made of it.
    runs_units : bool
        Whether this process runs units.

    Raises
    ------
    pytest.UsageError
        If there is no such commit, or it can't be checked out.
    """

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        *,
        told: dict[str, Any] | None,
        runs_units: bool,
    ) -> None:
        self._config = config
        self._settings = settings
        self._runs_units = runs_units
        self._worktrees = Worktrees(settings.options.directory / DIRECTORY)
        asked = settings.options.against
        assert asked is not None
        if told is not None:
            checkout = Checkout(**{**told, "linked": tuple(told["linked"])})
        else:
            links = config.getini("crystallize_against_link")
            try:
                checkout = self._worktrees.checkout(config.rootpath, asked, links)
            except RevisionError as fault:
                self._worktrees.close()
                raise pytest.UsageError(f"--crystallize-against={asked}: {fault}") from fault
        settings.turns.are_taken = True  # while a process measures, no other one runs anything
        self.commit = settings.commit = CommitRuns(
            config, checkout, settings.options, settings.exchange, settings.timer
        )

    def for_workers(self) -> dict[str, Any]:
        """Return what workers are told; plain data."""
        return asdict(self.commit.checkout)

    def pytest_report_header(self) -> str:
        """Tell which commit it is."""
        checkout = self.commit.checkout
        return (
            f"crystallize: compared with {printable(checkout.name)}, commit {short_commit(checkout.commit)}"
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Have the commit be collected while this process collects."""
        if self._runs_units:
            self.commit.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Tell what was noted there, and what is there alone; of an interrupted session end all at once."""
        if not self._runs_units or exitstatus == pytest.ExitCode.INTERRUPTED:
            return
        name = printable(self.commit.name)
        for note in self.commit.end():
            self._settings.note(f"at {name}: {note}")
        if not any("::" in arg for arg in self._config.args):
            for experiment in self.commit.experiments:
                if experiment not in self._settings.claims:
                    self._settings.note(f"{printable(experiment)} is gone: {name} has it")

    def pytest_unconfigure(self) -> None:
        """End all that was started, and leave the worktree to other sessions."""
        self.commit.kill()
        self._worktrees.close()
