"""Remote functions in a session: where their replies are kept, what was called, and what is deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest

from crystallize.seam import Counts, calls_made, counts_of_lines, hear_counts, keep_replies, prune_replies
from pytest_crystallize.records.logs import append
from pytest_crystallize.units.settings import Settings

_DAY: Final = 86400.0  # seconds


class RemoteCalls:
    """Remote functions in this process: what they do is settled here, and what they did is counted.

    Parameters
    ----------
    settings : Settings
        Of the session.
    is_worker : bool
        Whether another process controls this one.
    """

    def __init__(self, settings: Settings, *, is_worker: bool) -> None:
        self._settings = settings
        self._is_worker = is_worker
        self._started = time.time()
        self._before = keep_replies(settings.options.remote)
        calls_made(anew=True)
        if is_worker:
            hear_counts(self._tell)

    def _tell(self, name: str, more: dict[str, float]) -> None:
        """Tell what is counted at once: a worker may be killed, and what it did has been paid for."""
        exchange = self._settings.exchange
        if exchange.directory is not None:
            with suppress(OSError):
                line = json.dumps([name, more]).encode() + b"\n"
                append(exchange.directory / f"{exchange.worker}.calls", line)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """In the controlling process, delete replies on request."""
        options = self._settings.options
        if not self._is_worker and options.prune_replies is not None:
            before = self._started - options.prune_replies * _DAY
            gone, left = prune_replies(options.remote.directory, before)
            for_days = f"{options.prune_replies:g} day{'' if options.prune_replies == 1 else 's'}"
            what, verb = ("reply was", "was") if gone == 1 else ("replies were", "were")
            unused = f"that {verb} not used for {for_days}, nor by this session"
            where = f"{left} {'is' if left == 1 else 'are'} left in {options.remote.directory}"
            self._settings.note(f"{gone} {what} deleted {unused}; {where}")

    def pytest_unconfigure(self) -> None:
        """Settle what was settled before."""
        if self._is_worker:
            hear_counts(None)
        keep_replies(self._before)


def remote_lines(settings: Settings) -> Iterator[str]:
    """Yield a line for each remote function that was called, over all processes of the session."""
    total: dict[str, Counts] = calls_made()
    directory = settings.exchange.directory
    for path in () if directory is None else sorted(directory.glob("*.calls")):
        with suppress(OSError):
            for name, counts in counts_of_lines(path.read_bytes().splitlines()).items():
                total[name] = counts.plus(total.get(name, Counts()))
    for name, counts in sorted(total.items()):
        yield counts.line(name)
