"""The plugins that a session with ``--crystallize`` consists of."""

from __future__ import annotations

import pytest

from pytest_crystallize.collect.declarations import Declarations
from pytest_crystallize.exit_code import VERDICTS
from pytest_crystallize.isolation.forks import ForkHooks
from pytest_crystallize.session.absence import AbsenceGuard
from pytest_crystallize.session.late_error_hooks import LateErrorHooks
from pytest_crystallize.session.publisher import Publisher
from pytest_crystallize.session.remote_calls import RemoteCalls
from pytest_crystallize.session.reporter import Reporter
from pytest_crystallize.session.session import CrystallizeSession
from pytest_crystallize.session.summary import SessionSummary
from pytest_crystallize.session.verdicts_due import VerdictsDue
from pytest_crystallize.session.workers import WorkerHooks

PARTS = [
    f"crystallize-{name}"
    for name in (
        "session",
        "fixtures",
        "declarations",
        "late-errors",
        "forks",
        "remote",
        "worker",
        "reporter",
        "summary",
        "verdicts",
        "exit-code",
        "absence",
        "publisher",
        "events",
        "shards",
        "against",
        "xdist",
    )
]
"""Under which names they are registered."""


def activate(config: pytest.Config) -> None:
    """Register what a session with ``--crystallize`` needs."""
    manager = config.pluginmanager
    for name in ("python", *PARTS):
        if manager.is_blocked(name):
            raise pytest.UsageError(
                f"-p no:{name} takes a plugin away without which --crystallize would lose experiments in "
                "silence; leave it out, or leave out --crystallize"
            )
    for pattern in config.getini("crystallize_files"):
        config.addinivalue_line("python_files", pattern)
    session = CrystallizeSession(config)
    manager.register(session, "crystallize-session")
    manager.register(session.settings.fixtures, "crystallize-fixtures")
    functions = config.getini("crystallize_functions")
    manager.register(Declarations(session.settings, functions), "crystallize-declarations")
    settings = session.settings
    if session.other_commit is not None:
        manager.register(session.other_commit, "crystallize-against")
    late_errors = LateErrorHooks(settings.late_errors, session.withdraw, settings.fail)
    manager.register(late_errors, "crystallize-late-errors")
    manager.register(ForkHooks(settings.forks, settings.fail), "crystallize-forks")
    manager.register(RemoteCalls(settings, is_worker=session.is_worker), "crystallize-remote")
    if session.is_worker:
        manager.register(WorkerHooks(config, settings), "crystallize-worker")
    else:
        reporter = Reporter(config, session.settings)
        verdicts = VerdictsDue(reporter)
        manager.register(reporter, "crystallize-reporter")
        manager.register(SessionSummary(reporter), "crystallize-summary")
        manager.register(AbsenceGuard(reporter), "crystallize-absence")
        manager.register(Publisher(verdicts), "crystallize-publisher")
        manager.register(verdicts, VERDICTS)
        if session.options.events is not None:
            from pytest_crystallize.session.events import EventStream  # only when it is asked for

            manager.register(EventStream(verdicts, session.options.events), "crystallize-events")
        if settings.options.shard is not None:
            from pytest_crystallize.session.sharding import ShardWriter  # only where it is asked for

            writer = ShardWriter(reporter, settings.options.shard)
            manager.register(writer, "crystallize-shards")  # behind the verdicts, which it may add a fault to
        if manager.hasplugin("xdist"):
            from pytest_crystallize.session.distributed import ControllerHooks  # needs pytest-xdist

            manager.register(ControllerHooks(session, reporter), "crystallize-xdist")
