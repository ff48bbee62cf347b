"""What the experiments of a session share in one process, beside the options."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crystallize.seam import Earlier, MadeValue, global_state_restored, seed_globals
from pytest_crystallize.isolation.fixtures import UnitFixtures
from pytest_crystallize.isolation.forks import Forks
from pytest_crystallize.isolation.late_errors import LateErrors
from pytest_crystallize.isolation.output import Output
from pytest_crystallize.isolation.process_loop import ProcessLoop
from pytest_crystallize.isolation.run_fixtures import WideFixtures
from pytest_crystallize.isolation.switching import Switch
from pytest_crystallize.isolation.timeouts import Timer
from pytest_crystallize.isolation.turns import Turns
from pytest_crystallize.naming.ids import checksum
from pytest_crystallize.options.mark import MarkReader
from pytest_crystallize.options.options import Options
from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.records.record_cache import RecordCache

if TYPE_CHECKING:
    from pytest_crystallize.against.commit_runs import CommitRuns
    from pytest_crystallize.cluster.cluster import Cluster
    from pytest_crystallize.records.shards import MergedShards

MERGED: pytest.StashKey[MergedShards] = pytest.StashKey()
"""What a session is to judge that shards have run, in the stash of its configuration."""


class Settings:
    """Objects that the experiments of a session share in one process, and what becomes of it while it runs.

    Attributes
    ----------
    options : Options
        What was asked for.
    exchange : Exchange
        Claims and records.
    fixtures : UnitFixtures
        What the condition run under way offers to fixtures.
    output : Output
        Captured output and warnings of units.
    loop : ProcessLoop
        On which asynchronous units are run.
    late_errors : LateErrors
        Errors that arise beside units: in threads, in finalizers.
    forks : Forks
        Forked processes that come back from a unit.
    timer : Timer
        Of the item under way.
    turns : Turns
        Taken where an experiment is exclusive.
    marks : MarkReader
        Reads the marks of experiments.
    wide_fixtures : dict of FixtureDef to FixtureDef
        Fixtures wider than a function on which experiments depend, each with the one that was declared.
    made : dict of FixtureDef to MadeValue
        Their values that are plain data, as long as they live.
    async_fixtures : WideFixtures
        Those of them that are made on the loop.
    repro : Unit or None
        The unit to repeat, its condition as it is declared.
    repro_fault : str or None
        Why it can't be.
    records : RecordCache or None
        Where runs are stored, if they are.
    merged : MergedShards or None
        What shards have run, if it is to be judged.
    cluster : Cluster or None
        Where units of factories run, if not here.
    commit : CommitRuns or None
        What makes runs of another commit, if the session compares with one.
    earlier : Earlier
        What runs of one experiment may have left for those of another.
    declared : dict
        Of which file each experiment that is collected is, and where it is defined, by its id.
    claims : dict
        How many claims each experiment that is collected has, by its id.
    verifiers : set
        What tells those verifiers apart that are checked.
    collected : int
        How many tests of experiments there were before any was deselected.
    notes, faults : dict
        Lines that the summary shows once, and those of them that fail the session; the values say nothing.
    """

    def __init__(self, config: pytest.Config, options: Options, exchange: Exchange) -> None:
        self.config = config
        self.options = options
        self.exchange = exchange
        self.fixtures = UnitFixtures()
        self.output = Output(config)
        self.loop = ProcessLoop(Switch(self.fixtures, self.output))
        self.late_errors = LateErrors(config)
        self.forks = Forks()
        self.timer = Timer(config)
        self.turns = Turns(exchange, self.timer)
        self.marks = MarkReader()
        self.wide_fixtures: dict[Any, Any] = {}
        self.made: dict[Any, MadeValue] = {}
        self.async_fixtures = WideFixtures(self.loop, self.wide_fixtures)
        self.repro = options.repro
        self.repro_fault: str | None = None
        self.records: RecordCache | None = None
        self.merged = config.stash.get(MERGED, None)
        self.cluster: Cluster | None = None
        self.commit: CommitRuns | None = None
        self.earlier = Earlier()
        self.declared: dict[str, tuple[Path, str]] = {}
        self.claims: dict[str, int] = {}
        self.verifiers: set[Hashable] = set()
        self.collected = 0
        self.notes: dict[str, None] = dict.fromkeys(options.notes)
        self.faults: dict[str, None] = {}

    def made_for(self, names: Collection[str]) -> list[MadeValue]:
        """Return those of the values that a fixture with these arguments is given, or may ask for."""
        if "request" in names:
            return list(self.made.values())
        given = [value for declared, value in self.made.items() if declared.argname in names]
        same = {id(value.value) for value in given}
        return [value for value in self.made.values() if id(value.value) in same]

    def note(self, text: str) -> None:
        """Have the summary show a line, once."""
        self.notes.setdefault(text)

    def fail(self, fault: str) -> None:
        """Have the session fail by what no report of a test can tell any more."""
        self.faults.setdefault(fault)
        self.note(fault)

    @contextmanager
    def collection_seeded(self, name: str) -> Iterator[None]:
        """Seed the global generators alike in every process, and put them back afterwards."""
        with global_state_restored():
            seed_globals(checksum(f"{self.options.session_seed}:{name}"))
            yield
