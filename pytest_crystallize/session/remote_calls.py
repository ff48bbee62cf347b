"""Remote functions in a session: where their replies are kept, what was called, and what is deleted."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from typing import Final

import pytest

from crystallize.seam import Counts, calls_made, counts_from_json, keep_replies, prune_replies, write_whole
from pytest_crystallize.records.exchange import SharedExchange
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

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Hand over the counts of a worker; in the controlling process, delete replies on request."""
        options, exchange = self._settings.options, self._settings.exchange
        if self._is_worker:
            counts = {name: dataclasses.astuple(known) for name, known in calls_made().items()}
            if counts and isinstance(exchange, SharedExchange):
                with contextlib.suppress(OSError):
                    write_whole(exchange.directory / f"{exchange.worker}.calls", json.dumps(counts).encode())
        elif options.prune_replies is not None:
            before = self._started - options.prune_replies * _DAY
            gone, left = prune_replies(options.remote.directory, before)
            unused = f"that were not used for {options.prune_replies:g} days, nor by this session"
            where = f"{left} are left in {options.remote.directory}"
            self._settings.note(f"{gone} replies were deleted {unused}; {where}")

    def pytest_unconfigure(self) -> None:
        """Settle what was settled before."""
        keep_replies(self._before)


def remote_lines(settings: Settings) -> Iterator[str]:
    """Yield a line for each remote function that was called, over all processes of the session."""
    total: dict[str, Counts] = calls_made()
    exchange = settings.exchange
    if isinstance(exchange, SharedExchange):
        for path in sorted(exchange.directory.glob("*.calls")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                for name, counts in counts_from_json(json.loads(path.read_bytes())).items():
                    total[name] = counts.plus(total.get(name, Counts()))
    for name, counts in sorted(total.items()):
        yield counts.line(name)
