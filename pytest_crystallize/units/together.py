"""Units of one experiment that a process runs at the same time, on its event loop."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Generator, Iterable
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

import pytest

from crystallize import RunRecord
from crystallize.seam import RAISED, Ending, Outcomes, Unit, check_failure, refuse_inside_a_loop
from pytest_crystallize.boundary import FAILURES
from pytest_crystallize.isolation.output import with_output
from pytest_crystallize.isolation.process_loop import RunTask
from pytest_crystallize.isolation.switching import RunState
from pytest_crystallize.units.sources import Records, UnderWay
from pytest_crystallize.units.unit_runs import UnitRuns

Script = Generator[Awaitable[Any], Ending, RunRecord]
"""What a run does: it yields what is to be awaited, is sent what came of it, and returns the record."""


class AwaitedRuns(UnitRuns):
    """Units that are awaited."""

    @abstractmethod
    def script(
        self,
        unit: Unit,
        host: pytest.Item,
        task: RunTask,
        *,
        outcomes: Outcomes | None = None,
        again: bool = False,
    ) -> Script:
        """Return what runs a unit.

        Parameters
        ----------
        unit : Unit
            The unit.
        host : pytest.Item
            The item in whose call phase it is run.
        task : RunTask
            That of the run.
        outcomes : Outcomes, optional
            What becomes of exceptions, if that is not what becomes of them in a session.
        again : bool
            Whether its record is there already.
        """


class UnitsTogether:
    """Units that this process runs at the same time, as many as there is room for; as `UnitsHere`.

    Parameters
    ----------
    runs : AwaitedRuns
        The experiment's.
    host : pytest.Item
        The item in whose call phase they are run.
    """

    def __init__(self, runs: AwaitedRuns, host: pytest.Item) -> None:
        refuse_inside_a_loop()
        self._runs = runs
        self._host = host
        self._loop = runs.settings.loop
        self._under_way: dict[_Run, None] = {}
        self._answers: deque[tuple[_Run, Ending]] = deque()
        self._turn = ExitStack()  # taken while runs are under way

    def records(self, units: Iterable[Unit]) -> Records:
        """Run the units; each is asked for when there is room for it, and its record given when it ends."""
        runs = self._runs
        if runs.at_once == 1:
            yield from self._records(units, 1)
        else:
            with self._loop.interrupts_kept():
                yield from self._records(units, runs.at_once * max(1, len(runs.needed)))

    def _records(self, units: Iterable[Unit], room: int) -> Records:
        runs = self._runs
        coming, drains = iter(units), False
        try:
            while True:
                while len(self._under_way) < room and not drains:
                    if (unit := next(coming, None)) is None:
                        break
                    if (record := self._begun(unit)) is not None:
                        yield record
                if not self._under_way:
                    if not drains:
                        return
                    drains = runs.repeats.settle_due(self.again)
                self._wait()
                while self._answers:
                    if (record := self._advanced(*self._answers.popleft())) is not None:
                        yield record
                        drains = drains or runs.repeats.settle_due(self.again, beside=bool(self._under_way))
        except GeneratorExit:  # who asked has failed, and takes no more
            for record in self._cancelled():
                runs.conclude(record)
            raise
        except BaseException:  # it ends the session
            yield from self._cancelled()
            raise
        finally:
            self._turn.close()
            self._loop.switch.to(None)

    def again(self, unit: Unit) -> RunRecord:
        """Run a unit again, for nothing but to see what it gives; those under way go on."""
        self._runs.prepare(unit, self._host)
        self._runs.settings.timer.restart()
        return self._recorded(_Run(self._runs, unit, self._host, again=True))

    def alone(self, unit: Unit) -> RunRecord:
        """Run a unit whose exceptions come through."""
        self._runs.prepare(unit, self._host)
        return self._recorded(_Run(self._runs, unit, self._host, outcomes=RAISED))

    def _recorded(self, run: _Run) -> RunRecord:
        turns, alone = self._runs.settings.turns, self._runs.exclusive
        try:
            with nullcontext() if self._under_way else turns.taken(alone=alone):
                return run.record()
        finally:
            self._loop.switch.to(None)

    def _begun(self, unit: Unit) -> RunRecord | None:
        """Begin a unit; return its record if it is there already, or comes of it at once."""
        if (lost := self._runs.begin(unit, self._host)) is not None:
            return lost
        if not self._under_way:
            if (turns := self._runs.settings.turns).are_taken:
                self._turn.enter_context(turns.taken(alone=self._runs.exclusive))
            self._loop.switch.to(None)
            self._runs.settings.output.forget_log(self._host)
        run = _Run(self._runs, unit, self._host)
        self._under_way[run] = None
        return self._advanced(run)

    def _wait(self) -> None:
        """Wait until something has come of what is awaited, if anything is."""
        if not self._under_way:
            return
        try:
            self._loop.wait(lambda: self._answers)
        except FAILURES as fault:
            check_failure(fault)
            self._blamed(fault).task.cancel(fault)
            self._runs.settings.timer.restart()

    def _blamed(self, fault: BaseException) -> _Run:
        """Return the run that an exception belongs to which came out of the loop."""
        current = self._loop.switch.current
        if isinstance(fault, SystemExit):  # of a task or a callback
            return next((run for run in self._under_way if run.state is current), self._longest)
        return self._longest  # a time-out, which has met nobody's code

    @property
    def _longest(self) -> _Run:
        return next(iter(self._under_way))

    def _advanced(self, run: _Run, ending: Ending | None = None) -> RunRecord | None:
        """Have a run go on until it awaits something; return its record if it ends."""
        try:
            awaitable = run.step(ending)
        except BaseException as end:
            del self._under_way[run]
            run.task.end()
            if not self._under_way:
                self._turn.close()
            if not isinstance(end, StopIteration):
                raise
            record: RunRecord = end.value
        else:
            run.task.ask(awaitable, lambda ending: self._answers.append((run, ending)))
            return None
        self._runs.settings.timer.restart()
        self._runs.repeats.took(record)
        return record

    def _cancelled(self) -> list[RunRecord]:
        """Cancel the runs under way, and have them torn down; return the records of those that had ended."""
        ended = {run for run, _ in self._answers}
        cancelled = {run for run in self._under_way if run not in ended and not run.task.is_ending}
        for run in cancelled:
            run.task.cancel()
        records: list[RunRecord] = []
        while self._under_way:
            try:
                self._wait()
            except KeyboardInterrupt:  # once more: nobody is waited for
                break
            while self._answers:
                run, ending = self._answers.popleft()
                with suppress(BaseException):  # the first one counts
                    record = self._advanced(run, ending)
                    if record is not None and run not in cancelled:
                        records.append(record)
        for run in self._under_way:
            run.abandon()
        return records


class _Run:
    """Unit under way.

    Attributes
    ----------
    state : RunState
        What the process is to hold for it.
    task : RunTask
        Where it awaits.
    """

    def __init__(
        self,
        runs: AwaitedRuns,
        unit: Unit,
        host: pytest.Item,
        *,
        outcomes: Outcomes | None = None,
        again: bool = False,
    ) -> None:
        self.state = RunState(seeded=runs.seeds_globals)
        self.task = RunTask(runs.settings.loop, self.state)
        script = runs.script(unit, host, self.task, outcomes=outcomes, again=again)
        self._script = script if outcomes is not None else self._watched(script, runs, unit)

    def _watched(self, script: Script, runs: AwaitedRuns, unit: Unit) -> Script:
        """Run what `UnitsHere` brackets with the same."""
        with UnderWay(runs, unit), runs.watching() as judge:
            record = yield from script
            if self.task.has_left_others:
                self.task.is_ending = True
                yield self.task.end_others()
        return with_output(judge(record), runs.settings.loop.switch.printed())

    def step(self, ending: Ending | None = None) -> Awaitable[Any]:
        """Go on with what has come of what was awaited; return what is to be awaited next.

        Raises
        ------
        StopIteration
            With the record, when the run has ended.
        """
        awaitable: Awaitable[Any] = self.task.call(self._script.send, ending)
        return awaitable

    def record(self) -> RunRecord:
        """Run to the end, and return the record."""
        ending: Ending | None = None
        try:
            while True:
                awaitable = self.step(ending)
                try:
                    ending = self.task.wait_for(awaitable), None
                except BaseException as fault:
                    ending = None, fault
        except StopIteration as end:
            record: RunRecord = end.value
            return record
        finally:
            self.task.end()

    def abandon(self) -> None:
        """Leave it where it is."""
        with suppress(BaseException):  # that something would have to be awaited
            self._script.close()
