"""What the experiments of a session share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crystallize.core.run import Unit
from crystallize.core.seeding import global_state_restored, seed_globals
from pytest_crystallize.exchange import Exchange
from pytest_crystallize.fixtures import UnitFixtures
from pytest_crystallize.forks import Forks
from pytest_crystallize.ids import checksum
from pytest_crystallize.late_errors import LateErrors
from pytest_crystallize.mark import MarkReader
from pytest_crystallize.output import Output
from pytest_crystallize.record_cache import RecordCache
from pytest_crystallize.timeouts import Timer

if TYPE_CHECKING:
    from pytest_crystallize.cluster import Cluster


class Settings:
    """What the experiments of a session share.

    Attributes
    ----------
    exchange : Exchange
        Claims and records.
    fixtures : UnitFixtures
        What the condition run under way offers to fixtures.
    output : Output
        Captured output and warnings of units.
    late_errors : LateErrors
        Errors that arise beside units: in threads, in finalizers.
    forks : Forks
        Forked processes that come back from a unit.
    seed, replicates : int or None
        From the command line.
    ini_seed, ini_replicates : int or None
        From the ini file.
    note : callable
        Takes a line that the summary shows once.
    artifact_root : path
        Where artifacts go if an experiment doesn't say.
    at_once : int
        How many replicates with asynchronous steps a process runs at the same time.
    marks : MarkReader
        Reads the marks of experiments.
    wide_fixtures : set of FixtureDef
        Fixtures wider than a function on which experiments depend.
    repro : Unit or None
        The unit to repeat.
    repro_fault : str or None
        Why it can't be.
    drawn_seed : int or None
        The root seed, if it was drawn at random.
    off : frozenset of str
        Treatments that are switched off.
    calibrate : int or None
        How many A/A tests to make of each hypothesis, in place of testing it.
    save : str or None
        Under which name to write a reference.
    compare : str or None
        The reference to compare with, whatever the hypotheses say.
    early_stop : bool
        Whether experiments that declare no early stopping are stopped early, too.
    repeatable : {"note", "error"}
        What comes of runs that do not repeat.
    steps : path or None
        Where results of cacheable steps lie; None if the cache is off.
    records : RecordCache or None
        Where runs are stored, if they are.
    hides_from_coverage : bool
        Whether stored runs are used although coverage is measured.
    cluster : Cluster or None
        Where units of factories run, if not here.
    collected : int
        How many tests of experiments there were before any was deselected.
    """

    def __init__(
        self,
        config: pytest.Config,
        exchange: Exchange,
        *,
        seed: int | None,
        ini_seed: int | None,
        replicates: int | None,
        ini_replicates: int | None,
        artifact_root: Any,
        at_once: int,
    ) -> None:
        self.config = config
        self.exchange = exchange
        self.fixtures = UnitFixtures()
        self.output = Output(config)
        self.late_errors = LateErrors(config)
        self.forks = Forks()
        self.timer = Timer(config)
        self.seed = seed
        self.ini_seed = ini_seed
        self.replicates = replicates
        self.ini_replicates = ini_replicates
        self.artifact_root = artifact_root
        self.at_once = at_once
        self.marks = MarkReader()
        self.wide_fixtures: set[Any] = set()
        self.repro: Unit | None = None
        self.repro_fault: str | None = None
        self.drawn_seed: int | None = None
        self.off: frozenset[str] = frozenset()
        self.calibrate: int | None = None
        self.save: str | None = None
        self.compare: str | None = None
        self.early_stop = False
        self.repeatable: str = "note"
        self.steps: Path | None = None
        self.records: RecordCache | None = None
        self.hides_from_coverage = False
        self.cluster: Cluster | None = None
        self.collected = 0
        self.notes: dict[str, None] = {}
        self.faults: dict[str, None] = {}

    @property
    def session_seed(self) -> int:
        """Root seed of what belongs to no experiment: fixtures wider than a function, collection."""
        return self.seed if self.seed is not None else self.ini_seed or 0

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
            seed_globals(checksum(f"{self.session_seed}:{name}"))
            yield
