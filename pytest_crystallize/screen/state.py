"""What the screen knows of experiments: nothing but what the events of sessions told."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Phase = Literal["idle", "waiting", "running", "done", "interrupted"]

WINDOW: Final = 10.0
"""Seconds over which the rate of runs is taken."""
ENDED: Final = ("run", "failed", "skipped")
"""States of runs that took time in this session."""


@dataclass
class Experiment:
    """An experiment, and what became of it in the latest session that ran it.

    Attributes
    ----------
    told : mapping
        What ``collected`` said of it; see the guide of events.
    phase : str
        How far it is.
    off : set of str
        Treatments that are switched off in the next session.
    counts : dict of str to Counter
        By condition, the states of its runs.
    total : Counter
        The states of all of them.
    cached_steps : Counter
        Step -> runs in which an earlier call stood for it.
    looks, failures : list
        Events.
    verdicts : dict
        By test, the latest event.
    done : mapping or None
        The event that told of its end.
    version : int
        How often it has changed.
    pace : Pace
        How fast its runs end.
    """

    told: Mapping[str, Any]
    phase: Phase = "idle"
    off: set[str] = field(default_factory=set)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    total: Counter[str] = field(default_factory=Counter)
    cached_steps: Counter[str] = field(default_factory=Counter)
    looks: list[Mapping[str, Any]] = field(default_factory=list)
    failures: list[Mapping[str, Any]] = field(default_factory=list)
    verdicts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: Mapping[str, Any] | None = None
    version: int = 0
    pace: Pace = field(default_factory=lambda: Pace())

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.told["id"])

    @property
    def name(self) -> str:
        """The name to call it by: in a graph, its name there."""
        return str(self.told["part"] or self.told["name"])

    @property
    def treatments(self) -> Sequence[str]:
        """Its treatments."""
        conditions: Sequence[str] = self.told["conditions"]
        return conditions[1:]

    @property
    def planned(self) -> int:
        """Condition runs that are planned; with stopping, at most."""
        return int(self.told["runs"])

    @property
    def ran(self) -> int:
        """Runs that there are."""
        return self.total.total()

    @property
    def left(self) -> int:
        """Runs that may be to come."""
        return max(self.planned - self.ran, 0) if self.phase in ("waiting", "running") else 0

    @property
    def statuses(self) -> Counter[str]:
        """Statuses of its tests."""
        return Counter(str(event["status"]) for event in self.verdicts.values())

    @property
    def was_off(self) -> Sequence[str]:
        """Treatments that were switched off in the session that its verdicts are of."""
        off: Sequence[str] = self.told["off"]
        return off

    @property
    def has_failed(self) -> bool:
        """Whether a test of it failed, or gave no verdict."""
        return any(event["outcome"] in ("failed", "error", "not run") for event in self.verdicts.values())

    @property
    def is_whole(self) -> bool:
        """Whether every test of it passed: of one that was skipped, nothing is known."""
        passed = ("passed", "xfailed", "xpassed")
        return self.phase == "done" and all(e["outcome"] in passed for e in self.verdicts.values())


class Pace:
    """Rate at which runs end, over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._ended = 0

    def begin(self, time: float) -> None:
        """Begin to count."""
        self._points.append((time, 0))

    def add(self, time: float, ended: int) -> None:
        """Count runs that have ended by a time."""
        self._ended += ended
        self._points.append((time, self._ended))
        while len(self._points) > 2 and self._points[1][0] < time - WINDOW:
            self._points.popleft()

    @property
    def rate(self) -> float | None:
        """Runs per second; None as long as too little is known."""
        if len(self._points) < 2:
            return None
        (first, before), (last, now) = self._points[0], self._points[-1]
        return (now - before) / (last - first) if last > first and now > before else None


class ScreenState:
    """State of all experiments, by id, as events tell it.

    Attributes
    ----------
    experiments : dict of str to Experiment
        In order of collection.
    session : mapping
        What ``session_started`` said last.
    finished : mapping or None
        What ``session_finished`` said of the latest session; None while it goes on.
    errors : list
        What could not be collected.
    """

    def __init__(self) -> None:
        self.experiments: dict[str, Experiment] = {}
        self.session: Mapping[str, Any] = {}
        self.finished: Mapping[str, Any] | None = None
        self.errors: list[Mapping[str, Any]] = []
        self.pace = Pace()

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in an event; one that is not known says nothing."""
        take = getattr(self, f"_{event['event']}", None)
        if take is not None:
            take(event)
        if (known := self.experiments.get(event.get("experiment", ""))) is not None:
            known.version += 1

    def _session_started(self, event: Mapping[str, Any]) -> None:
        self.session, self.finished, self.errors = event, None, []
        self.pace = Pace()

    def _collection_error(self, event: Mapping[str, Any]) -> None:
        self.errors.append(event)

    def _collected(self, event: Mapping[str, Any]) -> None:
        """Begin anew with the experiments that were collected; of a run of some, keep the others."""
        found = {told["id"]: Experiment(told, off=set(told["off"])) for told in event["experiments"]}
        if self.session["collects_only"]:
            for key, new in found.items():
                known = self.experiments.get(key)
                if known is not None:  # what became of it is still true
                    known.off = new.off
                    found[key] = known
            self.experiments = found
            return
        for each in found.values():
            each.phase = "waiting"
        self.pace.begin(event["time"])
        self.experiments = {**self.experiments, **found}

    def _experiment_started(self, event: Mapping[str, Any]) -> None:
        known = self.experiments[event["experiment"]]
        known.phase = "running"
        known.pace.begin(event["time"])

    def _runs(self, event: Mapping[str, Any]) -> None:
        known = self.experiments[event["experiment"]]
        known.counts.setdefault(event["condition"], Counter()).update(event["counts"])
        known.total.update(event["counts"])
        known.cached_steps.update(event["cached_steps"])
        ended = sum(event["counts"][state] for state in ENDED)
        for pace in (known.pace, self.pace):
            pace.add(event["time"], ended)

    def _run_failed(self, event: Mapping[str, Any]) -> None:
        self.experiments[event["experiment"]].failures.append(event)

    def _look(self, event: Mapping[str, Any]) -> None:
        self.experiments[event["experiment"]].looks.append(event)

    def _verdict(self, event: Mapping[str, Any]) -> None:
        self.experiments[event["experiment"]].verdicts[event["test"]] = event

    def _experiment_done(self, event: Mapping[str, Any]) -> None:
        known = self.experiments[event["experiment"]]
        known.phase, known.done = "done", event

    def _session_finished(self, event: Mapping[str, Any]) -> None:
        self.finished = event
        self.end()

    def end(self) -> None:
        """Note that no more events of the session will come."""
        for each in self.experiments.values():
            if each.phase == "waiting":
                each.phase = "interrupted" if each.ran else "idle"
            elif each.phase == "running":
                each.phase = "interrupted"

    # Of several experiments.

    def groups(self) -> Iterator[tuple[str | None, list[Experiment]]]:
        """Yield each graph with its experiments, and each experiment that is in none."""
        graphs: dict[str, list[Experiment]] = {}
        for each in self.experiments.values():
            graphs.setdefault(each.told["graph"] or each.id, []).append(each)
        for members in graphs.values():
            yield members[0].told["graph"], members

    @property
    def left(self) -> int:
        """Runs that may be to come."""
        return sum(each.left for each in self.experiments.values())

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """Runs that failed."""
        return [failure for each in self.experiments.values() for failure in each.failures]
