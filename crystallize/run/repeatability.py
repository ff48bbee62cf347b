"""Whether the runs of an experiment repeat: what they keep in memory for later ones, and runs made again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from crystallize.context.record import RunRecord
from crystallize.identity.kept_state import KeptState, filled_otherwise, set_aside
from crystallize.identity.process_state import Move, moves, put_back
from crystallize.identity.settings import Setting
from crystallize.identity.suspects import Suspects
from crystallize.run.run_key import Subject
from crystallize.run.units import Unit, unit_of

SHARE: Final = 0.05
"""Part of the time spent that is spent on runs made again, before they are stored."""
_CHEAP: Final = 1.0  # seconds that one run made again may cost at any rate
_MOST_NAMED: Final = 4
CAUSES: Final = (
    "usual causes are a time (record it by ctx.time, or by ctx.metrics.add(..., measured=True)), a draw "
    "outside of ctx.rng, a memo or other state that outlives a run, the order of a set under hash "
    "randomisation (PYTHONHASHSEED), and a remote service"
)


@dataclass
class Earlier:
    """Knowledge about the process that the experiments of a session share.

    Attributes
    ----------
    settings : dict
        Settings that runs may change, each with what it was before any of these runs.
    misses : dict
        Memo -> how often it had been filled by then.
    dubious : set of str
        Memos whose values depend on which run has filled them.
    """

    settings: dict[str, tuple[Setting, Any]] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    dubious: set[str] = field(default_factory=set)


class Repeatability:
    """Knowledge of whether the runs of an experiment repeat, from those that one process has made.

    Parameters
    ----------
    subject : Subject
        What they are made of.
    earlier : Earlier, optional
        What runs of other experiments of the session may have left.
    """

    def __init__(self, subject: Subject, earlier: Earlier | None = None) -> None:
        treatments = {name: treatment.change for name, treatment in subject.treatments.items() if treatment}
        self._components: dict[str, Any] = {**subject.components, **treatments}
        self._roots = subject.roots
        self._earlier = Earlier() if earlier is None else earlier
        self._before: KeptState | None = None
        self._found: dict[str, tuple[Setting, Any]] = {}  # settings when the first run began
        self._seen: KeptState | None = None
        self._first: dict[str, RunRecord] = {}  # by condition
        self._later: dict[str, RunRecord] = {}  # by condition: the cheapest run behind its first
        self._cheapest: RunRecord | None = None  # of those that other machines have made
        self._has_repeated_first = False
        self._again = 0.0
        self._spent = 0.0
        self._sound: set[str] = set()
        self._changing: set[str] = set()
        self.unlike: str | None = None
        """How a run that was made again differs."""

    def begin(self) -> None:
        """Look at what is in memory before the first run."""
        if self._before is None:
            self._before = self._now()
            self._found = {**self._before.settings}
            first = self._earlier.settings
            for settings in (self._before.settings, self._before.of_fixtures):
                settings.update((name, first.setdefault(name, found)) for name, found in settings.items())
            for label, (_, misses) in self._before.memos.items():
                self._earlier.misses.setdefault(label, misses)

    def _now(self) -> KeptState:
        return KeptState.of(self._components, self._roots)

    def took(self, record: RunRecord) -> None:
        """Take in the record of a run that this process has made."""
        self._seen = None
        self._spent += record.seconds
        condition = record.condition
        cheapest = self._later.get(condition)
        if (cheapest is not None and cheapest.seconds <= record.seconds) or not is_comparable(record):
            return
        if condition in self._first:
            self._later[condition] = record
        else:
            self._first[condition] = record

    @property
    def is_ready(self) -> bool:
        """Whether there is a later run of each condition that was run, to be made again."""
        return self._first.keys() <= self._later.keys()

    # State.

    @property
    def orders(self) -> list[str]:
        """Sets of texts that runs walk through, if the order of each process is another."""
        is_set = os.environ.get("PYTHONHASHSEED", "random") not in ("", "random")
        return [] if self._before is None or is_set else sorted(set(self._before.orders))

    def changed(self) -> list[str]:
        """Return what runs have changed of what later ones use, apart from memos."""
        if self._before is None:
            return []
        grown, seen, self._seen = self._before.grown(), self._seen, None
        with set_aside(grown.values()):
            later = self._now() if grown or seen is None else seen  # where runs were checked just before
            return sorted({*self._before.changed(later), *self._changing})

    def suspects(self) -> Suspects:
        """Return what runs have left that no run made again has cleared of suspicion."""
        if self._before is None:
            return Suspects()
        self._seen = self._now()
        filled = self._before.filled(self._seen)
        for label in self._earlier.dubious & self._seen.memos.keys():  # which others may have filled
            memo, misses = self._seen.memos[label]
            if misses != self._earlier.misses.get(label, 0):
                filled[label] = memo
        return Suspects(filled, self._before.grown(), self._moved()[0]).without(self._sound)

    def _moved(self) -> tuple[dict[str, Move], dict[str, Move]]:
        """Return what became of the settings of these runs: since the first one began, and before."""
        moved = {} if self._before is None else self._before.moved()
        since = moves(self._found.values()) if moved else {}
        later = {label: move for label, move in moved.items() if label in since}
        return later, {label: move for label, move in moved.items() if label not in since}

    def moved_by_others(self) -> dict[str, Move]:
        """Return the settings that runs of other experiments in this process may have changed.

        Of those that these runs may change, too, it is what was found when they began.
        """
        own = {} if self._before is None else {**self._before.settings, **self._before.of_fixtures}
        moved = moves(found for name, found in self._earlier.settings.items() if name not in own)
        moved |= self._moved()[1]
        return {label: move for label, move in moved.items() if label not in self._sound}

    @property
    def needs_its_process(self) -> bool:
        """Whether a run made again would find the process otherwise than those that are under way."""
        return bool(self.suspects().labels or self.moved_by_others())

    def as_before(self) -> AbstractContextManager[None]:
        """Set aside what runs have filled and may keep, since others would fill it in the same way."""
        grown = {} if self._before is None else self._before.grown()
        return set_aside(added for label, added in grown.items() if label in self._sound)

    # Runs made again.

    def to_repeat(self, others: Iterable[RunRecord] = (), *, memos: Collection[str]) -> list[RunRecord]:
        """Return the runs that are to be made again now.

        Parameters
        ----------
        others : iterable of RunRecord
            Runs of other processes.
        memos : collection of str
            Suspects, whose values may depend on which run filled them: a later run of each condition is made
            again without them.
        """
        cheapest = sorted(self._later.values(), key=lambda record: record.seconds)
        if memos:
            return cheapest
        foreign = sorted(filter(is_comparable, others), key=lambda record: record.seconds)
        return [record for record in [*foreign[:1], *cheapest][:1] if record.seconds <= self._allowed]

    @property
    def _allowed(self) -> float:
        return max(_CHEAP if not self._again else 0.0, SHARE * self._spent - self._again)

    def _first_of_all(self) -> list[RunRecord]:
        """Return the first run of this process, if it is to be made again now.

        It alone shows what runs do to their process that can't be seen there, such as to take a lock or to
        register something, if all later ones find that done.
        """
        if self._has_repeated_first or not self._later:
            return []
        return [record for record in list(self._first.values())[:1] if record.seconds <= self._allowed]

    def took_from(self, record: RunRecord) -> None:
        """Take in the record of a run that another machine has made."""
        self._spent += record.seconds
        cheapest = self._cheapest
        if is_comparable(record) and (cheapest is None or record.seconds < cheapest.seconds):
            self._cheapest = record

    def cheapest_elsewhere(self) -> list[RunRecord]:
        """Return the run of other machines that is to be made again there, if it may cost that."""
        others, self._cheapest = self._cheapest, None
        return self.to_repeat(() if others is None else (others,), memos=())

    def compare(
        self, before: RunRecord, again: RunRecord, memos: Sequence[str] = (), left: Sequence[str] = ()
    ) -> None:
        """Take in what a run gave that was made again, without some memos and what other runs had left."""
        self._seen = None
        self._again += again.seconds
        if not is_comparable(again):
            return
        found = difference(before, again)
        if found is None:  # it may be the very run that a dubious memo was filled by
            self._sound.update(label for label in (*memos, *left) if label not in self._earlier.dubious)
            return
        self._earlier.dubious.update(label for label in memos if label in self._earlier.misses)
        if self.unlike is not None:  # what was told first may name a memo
            return
        name, old, new = found
        ways = {" with empty memos": memos, " without what other runs set": left}
        how = ",".join(f"{way} ({', '.join(named[:_MOST_NAMED])})" for way, named in ways.items() if named)
        self.unlike = (
            f"metric {name!r} in replicate {before.replicate} of {before.condition!r} is {old}, and {new} "
            f"when it is made again{how}; {CAUSES}"
        )

    def check(
        self,
        run_again: Callable[[Unit], RunRecord],
        others: Iterable[RunRecord] = (),
        *,
        memos_only: bool = False,
    ) -> str | None:
        """Make some runs again; return why none may be stored, or None.

        Parameters
        ----------
        run_again : callable
            Runs a unit, without hooks.
        others : iterable of RunRecord
            Runs of other processes.
        memos_only : bool
            Whether to do so only where memos were filled, or runs have set something of their process.
        """
        suspects, left = self.suspects(), self.moved_by_others()
        first = [] if memos_only else self._first_of_all()
        if suspects.labels or left or not memos_only:
            for record in self.to_repeat(others, memos=suspects.labels):
                self._repeat_without(suspects, left, record, run_again)
        for record in first:
            self._has_repeated_first = True
            self.compare(record, run_again(unit_of(record)))
        self._sound -= self._changing
        return self.objection()

    def _repeat_without(
        self,
        suspects: Suspects,
        left: dict[str, Move],
        record: RunRecord,
        run_again: Callable[[Unit], RunRecord],
    ) -> None:
        """Make a run again that finds nothing of what others have left, and take in what comes of it."""
        with suspects.emptied() as held, put_back(left.values()):
            again = run_again(unit_of(record))
            self._changing |= suspects.became_other()
        otherwise = filled_otherwise(suspects.memos, held)
        self._changing |= otherwise
        self._earlier.dubious |= otherwise
        tried = [label for label in suspects.labels if label in suspects.memos or label not in self._changing]
        self.compare(record, again, tried, [*left])

    def check_block(self, records: Iterable[RunRecord], run_again: Callable[[Unit], RunRecord]) -> str | None:
        """Take in runs of a process that others send units to; say why they may not be stored, or None.

        Its memos can't be emptied from where runs are stored, so that it is here that some are made again.
        """
        for record in records:
            self.took(record)
        if self.suspects().labels:
            for condition in self._first.keys() - self._later.keys():
                first = self._first[condition]
                if first.seconds <= _CHEAP:  # one that this process was not sent tells as much
                    self.took(run_again(Unit(first.replicate + 1, condition)))
        objection = self.check(run_again, memos_only=True) if self.is_ready else self.objection()
        return None if objection is None else f"runs depend on others of their process: {objection}"

    def objection(self) -> str | None:
        """Say why no run may be stored, or None."""
        if self.unlike is not None:
            return self.unlike
        if self._changing:
            return f"they change {', '.join(sorted(self._changing))} from one to the next"
        if not (left := self.suspects().labels):
            return None
        return (
            f"they fill {', '.join(left)}, and no later run could be made again with an empty memo, to see "
            "that it keeps what is the same for all"
        )


def is_comparable(record: RunRecord) -> bool:
    """Return whether a run gave all that it was to give, and did nothing that only happens once."""
    return record.succeeded and record.impure is None and not record.artifacts and not record.cached


def difference(before: RunRecord, after: RunRecord) -> tuple[str, str, str] | None:
    """Return the first metric that two runs of one unit differ in, and both values; None if there is none.

    What is measured may differ; every other metric is the same, bit for bit.
    """
    old, new = _repeatable(before), _repeatable(after)
    if old == new:
        return None
    index = next(i for i in range(max(len(old), len(new))) if old[i : i + 1] != new[i : i + 1])
    name = json.loads((new[index : index + 1] or old[index : index + 1])[0])[0]
    return name, _shown(old[index : index + 1]), _shown(new[index : index + 1])


def _repeatable(record: RunRecord) -> Sequence[str]:
    return [json.dumps([e.name, e.value, e.unit]) for e in record.metrics if not e.measured]


def _shown(entries: Sequence[str]) -> str:
    """Return a metric as text, if there is one."""
    if not entries:
        return "nothing"
    name, value, unit = json.loads(entries[0])
    return f"{name} = {value!r}" + ("" if unit is None else f" of unit {unit!r}")
