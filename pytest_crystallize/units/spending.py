"""What all processes of a session have spent of a budget."""

from __future__ import annotations

import math
import struct
import threading
import time
from pathlib import Path
from typing import Final

from crystallize import Budget, RunRecord
from crystallize.seam import counted, is_finite
from pytest_crystallize.naming.ids import checksum
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.records.logs import append

_AMOUNT: Final = struct.Struct("<d")


class Ledger:
    """Amounts that the processes of a session add up, in a file that each appends to.

    Parameters
    ----------
    path : Path or None
        Of the file; None where there is one process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read = 0
        self._total = 0.0

    def add(self, amount: float) -> None:
        """Add an amount."""
        if self._path is None:
            with self._lock:
                self._total += amount
            return
        append(self._path, _AMOUNT.pack(amount))

    def total(self) -> float:
        """Return the sum of what all have added."""
        with self._lock:
            if self._path is not None and self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(self._read)
                    added = file.read()
                whole = len(added) - len(added) % _AMOUNT.size
                self._total += math.fsum(amount for (amount,) in _AMOUNT.iter_unpack(added[:whole]))
                self._read += whole
            return self._total


class Spending:
    """Rest of one budget.

    Parameters
    ----------
    budget : Budget
        What may be spent.
    exchange : Exchange
        Of the session.
    name : str
        What it is of: an experiment's id, or the session.
    """

    def __init__(self, budget: Budget, exchange: Exchange, name: str) -> None:
        self.budget = budget
        self._exchange = exchange
        self._name = f"budget of {name}"
        directory = exchange.directory
        paths = [directory and directory / f"{checksum(self._name)}.{kind}" for kind in ("made", "cost")]
        self._calls, self._cost = Ledger(paths[0]), Ledger(paths[1])
        self._began: float | None = None

    def called(self, made: int) -> None:
        """Take in that calls are made."""
        if self.budget.calls is not None:
            self._calls.add(made)

    def took(self, record: RunRecord) -> str | None:
        """Take in what a run has cost; say so if it does not tell."""
        metric = self.budget.metric
        if metric is None:
            return None
        costs = [entry.value for entry in record.metrics if entry.name == metric and is_finite(entry.value)]
        self._cost.add(math.fsum(costs))
        return None if costs else f"{self._name}: runs that recorded no finite {metric!r} count for nothing"

    def why_spent(self) -> str | None:
        """Say what is spent; None if something is left of everything."""
        budget = self.budget
        if budget.calls is not None and (made := self._calls.total()) >= budget.calls:
            verb = "was" if round(made) == 1 else "were"
            return f"{counted(round(made), 'call')} {verb} made, of {budget.calls}"
        if budget.total is not None and (cost := self._cost.total()) >= budget.total:
            return f"{budget.metric} is {cost:.4g} in all, of {budget.total:g}"
        if budget.minutes is not None:
            if self._began is None:
                self._began = float(self._exchange.agree(self._name, lambda: repr(time.time())))
            if time.time() - self._began >= 60 * budget.minutes:
                return "1 minute is over" if budget.minutes == 1 else f"{budget.minutes:g} minutes are over"
        return None
