"""Running the units of work of an experiment inside pytest, and pulling the ones that a verdict needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pytest

from crystallize import Cases, ConditionRuns, RunRecord
from crystallize.errors import EngineError
from crystallize.seam import Analysis, Interim, Unit, global_state_restored, rotated, unread_text
from pytest_crystallize.records.logs import Key
from pytest_crystallize.records.looks import tell_look
from pytest_crystallize.units.blocks import Blocks
from pytest_crystallize.units.claimed_units import ClaimedUnits
from pytest_crystallize.units.sources import OneByOne, Records, SharedRecords, Source, UnitsHere
from pytest_crystallize.units.unit_runs import UnitRuns

if TYPE_CHECKING:
    from pytest_crystallize.records.shards import MergedShards


class ExperimentRuns(UnitRuns):
    """The runs of one experiment (one parameter set of one function), and who makes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._first_missing = 0
        self._is_pulled = False
        self._complete: dict[str, ConditionRuns] = {}
        self._analysis: Analysis | None = None
        self._ended = 0
        self._is_merged = False
        self._shard = self.settings.options.shard

    def pull(self, host: pytest.Item, *, enough: Callable[[int], bool] | None = None) -> None:
        """Run every needed unit that nobody has claimed, and wait for the claimed ones.

        Parameters
        ----------
        host : pytest.Item
            The item in whose call phase this happens.
        enough : callable, optional
            With it, nobody is waited for, and this ends where it returns True, given how many replicates were
            run here; it is not asked where several are under way at the same time.
        """
        if self.settings.merged is not None:
            self._take_merged(self.settings.merged)
            return
        if self._is_pulled and self.is_complete():
            return
        more = False
        with self.under_way(host):
            try:
                self.check_budget()
                self.recall()
                self.settings.exchange.refresh()
                self._pull(host, enough)
                self.settle(host, more=enough is not None)
                more = enough is not None  # behind a token, unless it was interrupted
                self._is_pulled = not more
            finally:
                self.end_spending()
                if self.cache is not None and not more:
                    self.cache.flush()
        self.settings.timer.restart()

    @contextmanager
    def under_way(self, host: pytest.Item) -> Iterator[None]:
        """Let units be run in the call phase of an item: what they leave behind is seen, or undone."""
        settings = self.settings
        settings.timer.belongs_to(host)
        heard = settings.late_errors.heard(self.id)
        with global_state_restored(), settings.output.of_units(self.id), heard:
            yield

    def settle(self, host: pytest.Item, *, more: bool = False) -> None:
        """Make some run again, so that what repeats can be stored; `more` may follow under another item."""
        self.repeats.settle_all(partial(self.again, host), more=more)

    def _take_merged(self, merged: MergedShards) -> None:
        """Take what shards have run, up to the look that decides, and run nothing."""
        from pytest_crystallize.units.merging import take_merged  # only where shards are merged

        if not self._is_merged:
            take_merged(self, merged)
            self._is_merged = True
        while self.advance():
            pass

    def _pull(self, host: pytest.Item, enough: Callable[[int], bool] | None) -> None:
        done_here = 0
        while True:
            waits = enough is None or self.looks_again
            with closing(self.batches(partial(self._sourced, host), wait=waits)) as batches:
                for records in batches:
                    done_here += self.take_in(records)
                    if enough is not None and not self.awaits and enough(done_here):
                        return
            if not self.advance():
                return

    def batches(self, source: Callable[[], Source], *, wait: bool) -> Generator[Records, None, None]:
        """Yield the records of what is missing up to the next look, as they are to be made here.

        At first those of what nobody has claimed; if it is to be waited for, then of what others have.
        """
        settings = self.settings
        if self.awaits:
            yield self._one_by_one(source)
        for block in self._blocks.claimed(self.first_missing, self.size):
            try:
                if units := [unit for replicate in block for unit in self.missing(replicate)]:
                    yield source().records(units)
            finally:
                self.write(settings.exchange.release, self.id, block)
            settings.timer.suspend()  # the next claim may wait for another process
        for replicate in range(self.first_missing(), self.size) if wait else ():
            if missing := self.missing(replicate):
                yield SharedRecords(self, source, waits=True).records(missing)

    def _one_by_one(self, source: Callable[[], Source]) -> Records:
        """Yield the records of replicates of which each is claimed when there is room for it."""
        exchange = self.settings.exchange
        units = ClaimedUnits(
            lambda: exchange.claim(self.id, self.first_missing(), self.size, 1),
            self.missing,
            lambda replicates: self.write(exchange.release, self.id, replicates),
        )
        try:
            with closing(source().records(units)) as records:
                for record in records:
                    yield record
                    units.ended(record)
        finally:
            units.give_back_all()

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.settings.exchange, self.id)

    def take_in(self, arriving: Records) -> int:
        """Conclude records as they arrive; return of how many replicates they were."""
        replicates = set()
        with closing(arriving):
            for record in arriving:
                self.conclude(record)
                replicates.add(record.replicate)
        return len(replicates)

    def source(self, host: pytest.Item) -> Source:
        """Return what runs units of replicates that this process has claimed."""
        return UnitsHere(self, host)

    def one_by_one(self, host: pytest.Item) -> OneByOne:
        """Return what runs units that are asked for one at a time."""
        return OneByOne(self, partial(self.source, host))

    def _sourced(self, host: pytest.Item) -> Source:
        """Return what runs units of such replicates on all sides that are compared."""
        if self.other_side is None or self.other_side.fault is not None:
            return self.source(host)
        from pytest_crystallize.units.both_commits import BothCommits  # not in other sessions

        return BothCommits(self, self.other_side, partial(self.source, host), host)

    def again(self, host: pytest.Item, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives."""
        return UnitsHere(self, host).again(unit)

    def recall(self) -> None:
        """Learn which runs are stored, before any is run."""
        if self.design is not None:
            self._check_cases(self.design.cases)
        if self.cache is not None:
            self.cache.recall()

    def _check_cases(self, cases: Cases) -> None:
        """Raise `EngineError` if another process of the session has read other cases."""
        agreed = self.settings.exchange.agree(f"cases of {self.id}", lambda: cases.digest)
        if agreed != cases.digest:
            raise EngineError(
                f"{cases!r} are others in {self.settings.exchange.worker} than in another process of this "
                "session: they changed while it began; run it again"
            )

    # Looks.

    @cached_property
    def _interim(self) -> Interim:
        # What is to be a reference, or is judged together with other shards, is run to its end.
        to_the_end = self.settings.options.save is not None or self._shard is not None
        told = None if self.settings.options.events is None else self._tell_look
        return Interim(self.analysis_plan, self.references, to_the_end=to_the_end, told=told)

    def _tell_look(self, analysis: Analysis, size: int) -> None:
        tell_look(
            self.settings.exchange, self.id, self.selected, analysis, size // self.analysis_plan.samples
        )

    @property
    def size(self) -> int:
        """Number of replicates to run until the next look; in the end, of those that were run."""
        return self._interim.size

    def is_wanted(self, record: RunRecord) -> bool:
        """Return whether a record counts so far: it lies before the look that is to come, or that decided."""
        return record.replicate < self._interim.wanted(record.condition)

    @property
    def enough(self) -> dict[str, int]:
        """Number of replicates that count of conditions that are not run on, as all about them is decided."""
        return self._interim.enough

    @property
    def looks_again(self) -> bool:
        """Whether another look may be to come, so that nobody may run ahead."""
        return self._interim.is_open

    def first_missing(self) -> int:
        """Return the first replicate up to the next look of which something is missing."""
        while self._first_missing < self.size and not self.missing(self._first_missing):
            self._first_missing += 1
        return self._first_missing

    def is_complete(self) -> bool:
        """Return whether everything up to the next look is there."""
        return self.first_missing() >= self.size

    def advance(self) -> bool:
        """Go on to the replicates of the next look; tell whether there is one to come."""
        if not (self.looks_again and self.is_complete()):
            return False
        claims = [(i.hypothesis, i.treatment or "") for i in self.selected if i.hypothesis is not None]
        return self._interim.advance(self.runs(self.needed_in_order), claims)

    @property
    def analysis(self) -> Analysis:
        """The verdicts on what is needed, made once where all runs are there."""
        arms = self.runs(self.needed_in_order)
        known = self._analysis
        if known is None or any(known.given[name] is not runs for name, runs in arms.items()):
            known = self._analysis = Analysis(self.analysis_plan, arms, self.references)
        return known

    def obtain(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Return the record of one unit: run it, or wait for whoever does."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        self.recall()
        if not self.is_there(unit):
            self.take_in(SharedRecords(self, partial(self._sourced, host), waits=True).records([unit]))
        record = exchange.record(key)
        assert record is not None
        return record

    def missing(self, replicate: int) -> list[Unit]:
        """Return the units of a replicate that have to be run, in the order in which they are."""
        if self._shard is not None and not self._shard.has(replicate):
            return []
        has, order = self.settings.exchange.has, rotated(self.conditions, replicate)
        needed, wanted = self.needed, self._interim.is_wanted
        todo = (c for c in order if c in needed and wanted(c, replicate))
        if self.other_side is not None:
            return [unit for c in todo if not self.is_there(unit := Unit(replicate, c))]
        return [Unit(replicate, c) for c in todo if not has(Key(self.id, replicate, c))]

    def runs(self, conditions: Iterable[str]) -> dict[str, ConditionRuns]:
        """Return what is known of these conditions."""
        return {condition: self._runs_of(condition) for condition in conditions}

    def _runs_of(self, condition: str) -> ConditionRuns:
        """Return a condition's runs; those that are complete are put together once for all hypotheses."""
        known, wanted = self._complete.get(condition), self._interim.wanted(condition)
        if known is not None and len(known.records) == wanted:
            return known
        runs = self.settings.exchange.runs(self.id, wanted, [condition])[condition]
        if runs.records.is_complete:
            self._complete[condition] = runs
        return runs

    def unread(self, arms: Mapping[str, ConditionRuns]) -> list[str]:
        """Say which keys of which treatments nothing read in any run."""
        return [
            unread_text(treatment.name, key)
            for treatment in self.treatment_objects
            if treatment.name in arms
            for key in self.analysis_plan.keys.unread(arms[treatment.name])
        ]

    def let_go(self) -> None:
        """Let go of what the latest run was made with, behind a test."""

    def leave(self) -> None:
        """Take in that a test has ended: behind the last one, let go of what verdicts are made from.

        Whoever asks again, for a test that is repeated, has it made again from the records.
        """
        self._ended += 1
        if self._ended >= len(self.selected):
            self._forget_verdicts()

    def _forget_verdicts(self) -> None:
        self._complete, self._analysis = {}, None

    def finish(self) -> None:
        """Act at the end of the session."""

    def close(self) -> None:
        """Let go of records and verdicts, too."""
        super().close()
        self._forget_verdicts()
        vars(self).pop("_interim", None)
