"""Plans whose units are watched, so that their records can be stored, wherever they run."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any, Final

from crystallize.boundary import check_failure
from crystallize.context.record import RunError, RunRecord
from crystallize.context.seeding import seed_globals
from crystallize.run.execute import RECORDED, Outcomes, RunPlan
from crystallize.run.pipeline import Hooks
from crystallize.run.stored_runs import StoredRuns
from crystallize.run.units import Unit
from crystallize.run.watched_runs import WatchedRuns


def _described(error: BaseException, step: str) -> RunError:
    check_failure(error)
    return RunError.from_exception(error, step)


_ANY: Final = Outcomes(failures=(BaseException,), describe=_described)
"""A run that is made again may end in whatever way."""


@dataclasses.dataclass(frozen=True)
class WatchedPlan(RunPlan):
    """A plan whose units are watched where they run.

    Attributes
    ----------
    runs : WatchedRuns
        What watches them.
    stored : StoredRuns or None
        What stores their records; None in processes that the plan was sent to.
    """

    runs: WatchedRuns = dataclasses.field(kw_only=True)
    stored: StoredRuns | None = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, plan: RunPlan, stored: StoredRuns) -> WatchedPlan:
        """Return a plan whose units are watched, and stored if they are run in this process."""
        known = {entry.name: getattr(plan, entry.name) for entry in dataclasses.fields(plan)}
        return cls(**known, runs=stored.runs, stored=stored)

    def run(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        """Run one unit, watched."""
        self.runs.begin_elsewhere()
        with self.runs.watching(seeded=self._has_generators()) as judge:
            record = super().run(unit, outcomes)
        return self._took(judge(record))

    async def arun(self, unit: Unit, outcomes: Outcomes = RECORDED) -> RunRecord:
        """Do what `run` does, on the running event loop."""
        if not self.is_async:
            return self.run(unit, outcomes)
        with self.runs.watching(seeded=self._has_generators()) as judge:
            record = await super().arun(unit, outcomes)
        return self._took(judge(record))

    def finished(self, records: Sequence[RunRecord]) -> Sequence[RunRecord]:
        """Return what counts of a block of units that were run in a process they had been sent to."""
        return self.runs.finished(records, self.run_again)

    def run_again(self, unit: Unit) -> RunRecord:
        """Run a unit without hooks, and store nothing of it."""
        with self.runs.watching(seeded=self.seed_globals is not None) as judge:
            record = self.plain().run(unit, _ANY)
        return judge(record)

    def plain(self) -> RunPlan:
        """Return the plan without hooks, and without what stores its runs."""
        known = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(RunPlan)}
        return RunPlan(**known | {"hooks": Hooks(None, ())})

    def _took(self, record: RunRecord) -> RunRecord:
        if self.stored is not None:
            self.stored.took(record)
        return record

    def __getstate__(self) -> dict[str, Any]:
        """Send to another process what it takes to watch runs there, and nothing that stores them."""
        return super().__getstate__() | {"stored": None}

    def _has_generators(self) -> bool:
        """Return whether no other unit draws from the global generators meanwhile."""
        alone = threading.current_thread() is threading.main_thread() and not self.is_async
        return self.seed_globals is not None and (alone or self.seed_globals is seed_globals)
