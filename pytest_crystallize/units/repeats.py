"""Runs that are made again before they are stored, and what is said of those that do not repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

from crystallize import RunRecord
from crystallize.errors import FingerprintError
from crystallize.seam import Repeatability, StoredRuns, Subject, Unit, unit_of
from pytest_crystallize.records.exchange import ALTERED, STATE, UNLIKE
from pytest_crystallize.units.settled import SettledExperiment

_LOOKS: Final = 50  # times as long as the last look at what is in memory is waited until the next


class Repeats:
    """Knowledge of whether runs of one experiment repeat, as far as this process can tell.

    Parameters
    ----------
    runs : SettledExperiment
        The experiment.
    subject : callable
        Returns what its runs are made of.
    stored : callable
        Returns the stored runs, if any are to be used or made.
    """

    def __init__(
        self,
        runs: SettledExperiment,
        subject: Callable[[], Subject],
        stored: Callable[[], StoredRuns | None],
    ) -> None:
        self._runs = runs
        self._subject = subject
        self._stored = stored
        self._began = False
        self._taken = 0
        self._seen = (-1, -1)  # how many runs of its own and of others it had seen the last time
        self._next_look = 0.0

    @cached_property
    def _known(self) -> Repeatability | None:
        """Knowledge so far; None where nothing is to be known: runs that can't repeat, or are vouched for."""
        caching = self._runs.caching
        if not caching.repeatable or caching.cache_key is not None:
            return None
        stored = self._stored()
        known = None if stored is None else stored.runs.subject
        try:
            subject = self._subject() if known is None else known
            return Repeatability(subject, self._runs.settings.earlier)
        except FingerprintError:
            return None

    def begin(self) -> None:
        """Look at what is in memory before the first run."""
        known = self._known
        if self._began or known is None:
            return
        self._began = True
        known.begin()
        if (stored := self._stored()) is not None:
            stored.is_held = True
            stored.runs.as_before = known.as_before
        if known.orders:
            self._runs.settings.note(
                f"{self._runs.name} walks through {', '.join(known.orders)}: texts in a set have another "
                "order in each process while PYTHONHASHSEED is not set; sort them, or set it"
            )

    def took(self, record: RunRecord) -> None:
        """Take in the record of a run that this process has made."""
        if self._known is not None:
            self._known.took(record)
            self._taken += 1

    def settle_due(self, run_again: Callable[[Unit], RunRecord], *, beside: bool = False) -> bool:
        """Make runs again if some are to be stored by now.

        Parameters
        ----------
        run_again : callable
            Runs a unit again.
        beside : bool
            Whether others are under way, from which no memo can be taken.

        Returns
        -------
        bool
            Whether it has to wait until none is.
        """
        known, stored = self._known, self._stored()
        if stored is None or not stored.is_due:
            return False
        if known is None or not self._began or not known.is_ready:
            return False
        started, altered = time.perf_counter(), self._altered()
        if beside and (altered or known.needs_its_process):
            return True
        self._conclude(known, stored, known.check(run_again), altered=altered)
        self._next_look = _next_look(started)
        return False

    def settle_all(self, run_again: Callable[[Unit], RunRecord], *, more: bool = False) -> None:
        """Make runs again behind the last one that this process runs for now, whatever is to be stored.

        Parameters
        ----------
        run_again : callable
            Runs a unit again.
        more : bool
            Whether others may follow under another item, so that there is no need to look each time.
        """
        known, stored, started = self._known, self._stored(), time.perf_counter()
        if known is None or not self._began or (more and started < self._next_look):
            return
        seen = self._taken, self._runs.settings.exchange.of_others(self._runs.id)
        if seen == self._seen:
            return
        self._seen = seen
        objection = known.check(run_again, self._of_others(), memos_only=stored is None)
        self._conclude(known, stored, objection, changed=known.changed(), altered=self._altered())
        self._next_look = _next_look(started)

    def _conclude(
        self,
        known: Repeatability,
        stored: StoredRuns | None,
        objection: str | None,
        *,
        changed: Sequence[str] = (),
        altered: Sequence[str] = (),
    ) -> None:
        """Say what was found, and have the runs stored to which there is no objection."""
        if known.unlike is not None:
            self._tell(known.unlike)
        if changed:
            self._tell_state(changed, stored=stored is not None)
        if altered:
            objection = objection or self._tell_altered(altered)
            if stored is not None:
                stored.release(objection)
        elif stored is not None and (stored.is_held or known.unlike is not None):
            stored.release(objection)

    def hold(self) -> None:
        """Have nothing stored of runs that another machine makes, before one was made again."""
        if self._known is not None and (stored := self._stored()) is not None:
            stored.is_held = True

    def took_from(self, record: RunRecord) -> None:
        """Take in the record of a run that another machine has made."""
        if self._known is not None:
            self._known.took_from(record)

    def settle_elsewhere(self, run_again: Callable[[Unit], RunRecord | None]) -> None:
        """Make the cheapest run again where it was made, and store the runs if it gives the same.

        Parameters
        ----------
        run_again : callable
            Runs a unit there; None if it was not run.
        """
        known, stored = self._known, self._stored()
        if known is None or stored is None:
            return
        for record in known.cheapest_elsewhere():
            again = run_again(unit_of(record))
            if again is not None:
                known.compare(record, again)
        if known.unlike is not None:
            self._tell(known.unlike)
        stored.release(known.unlike)

    def _of_others(self) -> Iterator[RunRecord]:
        """Yield runs that other processes have made: not all, since the cheapest of some is as good."""
        exchange = self._runs.settings.exchange
        for key in exchange.some_of_others(self._runs.id):
            record = exchange.record(key)
            if record is not None:
                yield record

    def _tell(self, unlike: str) -> None:
        exchange = self._runs.settings.exchange
        text = f"{self._runs.name} does not repeat: {unlike}; nothing of it is stored"
        exchange.agree(f"{UNLIKE} {self._runs.id}", lambda: text)

    def _altered(self) -> list[str]:
        """Return the wider fixtures whose values are not as those that the runs use have made them."""
        made, used = self._runs.settings.made, self._runs.fixture_definitions
        return sorted(
            declared.argname
            for declared, value in made.items()
            if declared in used and value.has_changed(used)
        )

    def _tell_altered(self, names: Sequence[str]) -> str:
        """Say that tests and runs find these values otherwise than those that come first do."""
        runs = self._runs
        why = (
            "runs depend on what was run before them, since values of wider fixtures are changed by what "
            f"uses them: {', '.join(map(repr, names))}"
        )
        text = f"{runs.name}: {why}; values and verdicts may differ with -n, and with what is selected"
        runs.settings.note(runs.settings.exchange.said_first(f"{ALTERED} {runs.id}", text))
        return why

    def _tell_state(self, changed: Sequence[str], *, stored: bool) -> None:
        runs = self._runs
        named = ", ".join(f"{label} changed" for label in changed)
        text = (
            f"{runs.name}: runs depend on those before them, since they change what they use: {named}; "
            "values and verdicts may differ with -n" + (", and they are not stored" if stored else "")
        )
        runs.settings.note(runs.settings.exchange.said_first(f"{STATE} {runs.id}", text))


def _next_look(started: float) -> float:
    """Return when to look again, after a look that began at some time and has just ended."""
    ended = time.perf_counter()
    return ended + _LOOKS * (ended - started)
