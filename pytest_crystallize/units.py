"""Running the units of work of an experiment inside pytest, and pulling the ones that a verdict needs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crystallize import ConditionRuns, GroupSequential, Hypothesis, RunRecord, Treatment
from crystallize.boundary import check_failure
from crystallize.core.analysis import Analysis
from crystallize.core.caching import Caching
from crystallize.core.declaration import check_replicates
from crystallize.core.evaluation import digest
from crystallize.core.family import AnalysisPlan
from crystallize.core.interim import Interim
from crystallize.core.names import path_component
from crystallize.core.policy import DEFAULT_JUDGING, Judging
from crystallize.core.record import RunError
from crystallize.core.references import References, find_references
from crystallize.core.run import Unit, rotated
from crystallize.core.run_identity import Subject, declared_inputs
from crystallize.core.seeding import (
    CALIBRATION,
    SeedStream,
    check_root_seed,
    global_state_restored,
    seed_globals,
)
from crystallize.core.stored_runs import Judge
from crystallize.core.treatment import BASELINE
from crystallize.core.unread import TreatmentKeys
from crystallize.errors import CrystallizeError, DefinitionError
from pytest_crystallize.exchange import LOST, Exchange, Key
from pytest_crystallize.fixtures import UnitFixtures
from pytest_crystallize.forks import Forks
from pytest_crystallize.ids import checksum, shortened
from pytest_crystallize.late_errors import LateErrors
from pytest_crystallize.mark import MarkReader
from pytest_crystallize.output import Output
from pytest_crystallize.places import place_of
from pytest_crystallize.record_cache import ExperimentCache, RecordCache, unwatched
from pytest_crystallize.repeats import Repeats
from pytest_crystallize.timeouts import Timer
from pytest_crystallize.tracebacks import is_users, users_part

if TYPE_CHECKING:
    from pytest_crystallize.cluster import Cluster
    from pytest_crystallize.items import HypothesisItem

_NOTHING_DECLARED = Caching()


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

    @property
    def session_seed(self) -> int:
        """Root seed of what belongs to no experiment: fixtures wider than a function, collection."""
        return self.seed if self.seed is not None else self.ini_seed or 0

    def note(self, text: str) -> None:
        """Have the summary show a line, once."""
        self.notes.setdefault(text)

    @contextmanager
    def collection_seeded(self, name: str) -> Iterator[None]:
        """Seed the global generators alike in every process, and put them back afterwards."""
        with global_state_restored():
            seed_globals(checksum(f"{self.session_seed}:{name}"))
            yield


class ExperimentRuns(ABC):
    """The units of one experiment (one parameter set of one function), and who runs them.

    Attributes
    ----------
    id : str
        Node id of the function with its parameters, and of a graph the experiment's name; the same in every
        process.
    name : str
        What reports call it.
    where : str
        ``file:line`` of the function.
    conditions : tuple of str
        All conditions, the baseline first.
    experiment_name : str
        What directories of artifacts are called after.
    needed : set of str
        Those that the selected items need.
    analysis_plan : AnalysisPlan
        What is claimed, and how it is judged.
    members : list of HypothesisItem
        All items, selected or not.
    sample_size, root_seed : int
        As settled between command line, declaration and ini file.
    replicates : int
        How many to run: as many, or for A/A tests of them.
    judging : Judging
        How claims are judged.
    at_once : int
        How many replicates a process runs at the same time.
    keep_versions : int or None
        How many versions of its artifacts are kept; None for all.
    default_replicates : int or None
        How many there are if nobody says.
    hypotheses : tuple of Hypothesis
        What is claimed, also while A/A tests are made of it.
    caching : Caching
        What runs depend on, as declared.
    fixture_definitions : frozenset of FixtureDef
        The fixtures that runs may use.
    stays : str
        Why its units can't run on a cluster; empty if they can.
    """

    at_once = 1
    keep_versions: int | None = None
    default_replicates: int | None = None
    stays = ""

    def __init__(
        self,
        function: pytest.Function,
        settings: Settings,
        *,
        name: str,
        where: str,
        treatments: Sequence[Treatment],
        replicates: int | None,
        seed: int | None,
        hypotheses: Sequence[Hypothesis] = (),
        judging: Judging = DEFAULT_JUDGING,
        caching: Caching = _NOTHING_DECLARED,
        keys: TreatmentKeys | None = None,
        part: str = "",
    ) -> None:
        self.function = function
        self.settings = settings
        self.part = part
        self.id = f"{function.nodeid}::{part}" if part else function.nodeid
        callspec = getattr(function, "callspec", None)
        self.name = f"{name}[{callspec.id}]" if callspec is not None and callspec.id else name
        if part:
            self.name = f"{self.name}: {part}"
        self.where = where
        path, line = place_of(function.obj)
        self.location = path, line
        self.treatment_objects = tuple(treatments)
        tests = settings.calibrate
        self.treatments = () if tests else tuple(treatment.name for treatment in treatments)
        self.conditions = (BASELINE, *self.treatments)
        self.experiment_name = self.name
        self.needed: set[str] = set()
        self.sample_size = self._settled_replicates(replicates)
        self.replicates = 2 * self.sample_size * tests if tests else self.sample_size
        self.root_seed = self._settled_seed(seed)
        self.stream = SeedStream(self.root_seed, (CALIBRATION,) if tests else ())
        judging.check(hypotheses, self.name)
        self.judging = self._settled_judging(judging, hypotheses)
        self.analysis_plan = AnalysisPlan(
            () if tests else tuple(hypotheses),
            self.treatments,
            self.replicates,
            DEFAULT_JUDGING if tests else self.judging,
            keys or TreatmentKeys.of(treatments),
        )
        if settings.replicates is None:  # what the command line asks for is tried, and may be too few
            self.analysis_plan.check_reach(self.name)
        self.hypotheses = tuple(hypotheses)
        self.caching = caching
        self.fixture_definitions: frozenset[Any] = frozenset()
        self._cache: ExperimentCache | None = None
        self.repeats = Repeats(self)
        self.members: list[HypothesisItem] = []
        self._selected: list[HypothesisItem] = []
        self._first_open = 0
        self._complete: dict[str, ConditionRuns] = {}
        self._analysis: Analysis | None = None
        self._digests: dict[ConditionRuns, str] = {}

    def _settled_judging(self, declared: Judging, hypotheses: Sequence[Hypothesis]) -> Judging:
        claimed = any(hypothesis.claim is not None for hypothesis in hypotheses)
        if not self.settings.early_stop or declared.stopping is not None or not claimed:
            return declared
        try:
            return replace(declared, stopping=GroupSequential())
        except DefinitionError as error:
            self.settings.note(f"{self.name} is not stopped early: {error}")
            return declared

    def _settled_replicates(self, declared: int | None) -> int:
        settings = self.settings
        if declared is not None:
            check_replicates(declared, self.name)
        ways = (settings.replicates, declared, settings.ini_replicates, self.default_replicates)
        chosen = next((n for n in ways if n is not None), None)
        if chosen is None:
            raise DefinitionError(
                f"{self.name} declares no replicates; give replicates= in the mark, crystallize_replicates "
                "in the ini file, or --crystallize-replicates"
            )
        return chosen

    def _settled_seed(self, declared: int | None) -> int:
        if declared is not None:
            check_root_seed(declared)
        settings = self.settings
        self.seed_drawn = settings.drawn_seed is not None and (declared is None or settings.seed is not None)
        return next(n for n in (settings.seed, declared, settings.ini_seed, 0) if n is not None)

    # References.

    def reference_file(self, name: str) -> Path:
        """Return where the reference of a name is: beside the file of the experiment."""
        path, node = self.function.path, self.function.nodeid.partition("::")[2]
        function, bracket, params = node.partition("[")
        called = function.replace("::", ".") + bracket + params + (f".{self.part}" if self.part else "")
        directory = path.parent / "references" / name / path_component(path.stem)
        return directory / f"{path_component(called)}.json"

    @cached_property
    def references(self) -> References:
        """What the hypotheses are against."""
        hypotheses, root = self.analysis_plan.hypotheses, self.settings.config.rootpath
        found = find_references(
            hypotheses, lambda known: self.reference_file(known.name), experiment=self.name
        )
        if not found:
            return References()
        return References(
            {key: shortened(it, root) if isinstance(it, str) else it for key, it in found.items()},
            inputs=declared_inputs(root, self.caching.inputs),
            elsewhere=self.on_cluster,
        )

    def subjects(self, hypothesis: Hypothesis) -> tuple[str, ...]:
        """Return the conditions that a hypothesis has a test for."""
        return Analysis(self.analysis_plan, {}, self.references).subjects(hypothesis)

    # What is needed.

    def needs(self, item: HypothesisItem) -> None:
        """Note that an item is to give a verdict: its conditions, and those of its family, are to be run.

        What records gives no verdict, so no correction needs the family.
        """
        self._selected.append(item)
        self.needed.update(item.conditions)
        if item.hypothesis is not None and self.settings.save is None:
            family = self.analysis_plan.conditions(item.hypothesis, item.treatment or "")
            tested = (name for name in family if name == BASELINE or self._is_tested(name))
            self.needed.update(name for name in tested if name in self.conditions)

    def _is_tested(self, treatment: str) -> bool:
        """Tell whether the marks let any claim of the family about a treatment be tested."""
        corrected = self.analysis_plan.is_corrected
        return any(
            m.treatment == treatment and m.hypothesis is not None and corrected(m.hypothesis) and m.will_run()
            for m in self.members
        )

    def for_family(self) -> list[str]:
        """Return the conditions that are run for the correction alone: no selected test is about them."""
        about = {condition for item in self._selected for condition in item.conditions}
        return [condition for condition in self.conditions if condition in self.needed - about]

    # Pulling.

    @property
    def on_cluster(self) -> bool:
        """Whether a cluster runs the units."""
        return self.settings.cluster is not None and not self.stays

    @abstractmethod
    def run_unit(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process, without claiming it."""

    @abstractmethod
    def run_alone(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run one unit in this process and let its exceptions through."""

    def pull(self, host: pytest.Item, *, seconds: float | None = None, at_least: int = 1) -> None:
        """Run every needed unit that nobody has claimed, and wait for the claimed ones.

        Parameters
        ----------
        host : pytest.Item
            The item in whose call phase this happens.
        seconds : float, optional
            Stop after that time, but not before `at_least` replicates were run here; wait for nobody.
        at_least : int
            Replicates to run here before stopping.
        """
        settings = self.settings
        settings.timer.belongs_to(host)
        heard = settings.late_errors.heard(self.id)
        with global_state_restored(), settings.output.of_units(self.id), heard:
            try:
                self._recall()
                settings.exchange.refresh()
                self._pull(host, seconds, at_least)
                self.repeats.settle(host, last=True, more=seconds is not None)
            finally:
                if self.cache is not None:
                    self.cache.flush()
        settings.timer.restart()

    def _pull(self, host: pytest.Item, seconds: float | None, at_least: int) -> None:
        started = time.perf_counter()
        done_here = 0
        while True:
            for done in self._run_up_to(self.size, host, wait=seconds is None or self._looks_again):
                done_here += done
                out_of_time = seconds is not None and time.perf_counter() - started > seconds
                if out_of_time and done_here >= at_least:
                    return
            if not self._advance():
                return

    def _run_up_to(self, size: int, host: pytest.Item, *, wait: bool) -> Iterator[int]:
        """Run what is unclaimed of the first replicates; yield how many were run, whenever some were.

        Waits for those that others have claimed, if it is to.
        """
        settings, exchange = self.settings, self.settings.exchange
        busy: list[int] = []
        claimed: list[int] = []
        for replicate in range(self._first_open, size):
            if not self._missing(replicate):
                if replicate == self._first_open:
                    self._first_open += 1
                continue
            if not exchange.acquire(self.id, replicate, wait=False):
                busy.append(replicate)
                continue
            claimed.append(replicate)
            if len(claimed) == self.at_once:
                yield self._run_claimed(claimed, host)
                claimed = []
        yield self._run_claimed(claimed, host)
        for replicate in busy if wait else ():
            settings.timer.suspend()
            exchange.acquire(self.id, replicate, wait=True)
            yield self._run_claimed([replicate], host)

    # Looks.

    @cached_property
    def _interim(self) -> Interim:
        # What is to be a reference is run to its end.
        to_the_end = self.settings.save is not None
        return Interim(self.analysis_plan, self.references, to_the_end=to_the_end)

    @property
    def size(self) -> int:
        """Up to which replicate to run until the next look; in the end, how many were run."""
        return self._interim.size

    @property
    def _looks_again(self) -> bool:
        """Whether another look may be to come, so that nobody may run ahead."""
        return self._interim.is_open

    def _advance(self) -> bool:
        """Go on to the replicates of the next look; tell whether there is one to come."""
        if not self._looks_again or any(map(self._missing, range(self._first_open, self.size))):
            return False
        claims = [(i.hypothesis, i.treatment or "") for i in self._selected if i.hypothesis is not None]
        known = (condition for condition in self.conditions if condition in self.needed)
        return self._interim.advance(self.runs(known), claims)

    @property
    def analysis(self) -> Analysis:
        """The verdicts on what is needed, made once where all runs are there."""
        arms = self.runs(condition for condition in self.conditions if condition in self.needed)
        known = self._analysis
        if known is None or any(known.runs[name] is not runs for name, runs in arms.items()):
            known = self._analysis = Analysis(self.analysis_plan, arms, self.references)
        return known

    def obtain(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Return the record of one unit: run it, or wait for whoever does."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        self._recall()
        if not exchange.has(key):
            exchange.acquire(self.id, unit.replicate, wait=True)
            try:
                if not exchange.has(key):
                    self._run_units([unit], host)
            finally:
                exchange.release(self.id, unit.replicate)
        record = exchange.record(key)
        assert record is not None
        return record

    def _missing(self, replicate: int) -> list[str]:
        has, order = self.settings.exchange.has, rotated(self.conditions, replicate)
        return [c for c in order if c in self.needed and not has(Key(self.id, replicate, c))]

    def _run_claimed(self, replicates: Sequence[int], host: pytest.Item) -> int:
        """Run what is missing of replicates that this process holds, give them back, and count them."""
        try:
            missing = {replicate: self._missing(replicate) for replicate in replicates}
            self._run_units([Unit(i, condition) for i, left in missing.items() for condition in left], host)
            return sum(map(bool, missing.values()))
        finally:
            for replicate in replicates:
                self.settings.exchange.release(self.id, replicate)

    def _run_units(self, units: Sequence[Unit], host: pytest.Item) -> None:
        """Run units of replicates that this process holds."""
        for unit in units:
            if self._begin(unit, host):
                with self._under_way(unit), self.watching() as judge:
                    record = self.run_unit(unit, host)
                self._conclude_own(unit, judge(record))
                self.repeats.settle(host)

    def repeat(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit again in this process, for nothing but to see what it gives."""
        self.prepare(unit, host)
        self.settings.timer.restart()
        with self._under_way(unit), self.watching() as judge:
            record = self.run_again(unit, host)
        return judge(record)

    def run_again(self, unit: Unit, host: pytest.Item) -> RunRecord:
        """Run a unit whose record is there already."""
        return self.run_unit(unit, host)

    @contextmanager
    def _under_way(self, unit: Unit) -> Iterator[None]:
        """Bracket one run: what comes back from it twice, or ends the session, is told."""
        late_errors, key = self.settings.late_errors, Key(self.id, *unit)
        late_errors.begin(key)
        try:
            yield
        except pytest.exit.Exception as error:  # other workers may wait for the record
            fault = RunError.from_exception(error, self.name)
            seed = self.stream.seed(unit.replicate)
            self._publish(unit, RunRecord(unit.condition, unit.replicate, seed, error=fault))
            self.settings.note(f"{self._place(*unit)} ended the session: {fault}")
            raise
        finally:
            self.leave_if_forked(*unit)
            late_errors.end(key)

    def leave_if_forked(self, replicate: int, condition: str) -> None:
        """End this process if a condition run that came back here began in another one."""
        forks = self.settings.forks
        if forks.is_child():
            forks.leave(self._place(replicate, condition))

    def _place(self, replicate: int, condition: str) -> str:
        return f"replicate {replicate} of {condition!r} of {self.name}"

    def judged(self, record: RunRecord, node: pytest.Item) -> RunRecord:
        """Return the record of a unit, as a failure if it left errors in threads or finalizers."""
        judged = self.settings.late_errors.judged(record, lambda error, step: describe(error, step, node))
        if judged is not record:
            self.withdraw_steps()
        return judged

    # Stored runs.

    @property
    def cache(self) -> ExperimentCache | None:
        """The stored runs, if any are to be used or made."""
        if self._cache is None and self.settings.records is not None:
            self._cache = ExperimentCache(self, self.settings.records)
        return self._cache

    @abstractmethod
    def subject(self) -> Subject:
        """Return what the runs are made of.

        Raises
        ------
        FingerprintError
            If that can't be known.
        """

    def _recall(self) -> None:
        """Learn which runs are stored, before any is run."""
        if self.cache is not None:
            self.cache.recall()

    def watching(self) -> AbstractContextManager[Judge]:
        """Watch one run; gives what its record is to be passed through."""
        return unwatched() if self.cache is None else self.cache.watching()

    def withdraw(self) -> None:
        """Have no later session use what this process has stored in this one."""
        if self._cache is not None:
            self._cache.withdraw()
        self.withdraw_steps()

    def withdraw_steps(self) -> None:  # noqa: B027 - a hook, not an omission
        """Have nobody use the results of steps that this process has stored in this session."""

    def make_known(self, unit: Unit, record: RunRecord) -> None:
        """Have a stored record stand for a run."""
        self._publish(unit, record)

    def _conclude_own(self, unit: Unit, record: RunRecord) -> None:
        """Take in the record of a run that this process has made."""
        self.repeats.took(record)
        self._conclude(unit, record)

    def _conclude(self, unit: Unit, record: RunRecord) -> None:
        """Publish the record of a run that ended here, and have it stored."""
        self._publish(unit, record if self.cache is None else self.cache.take(unit, record))

    def _begin(self, unit: Unit, host: pytest.Item) -> bool:
        """Note that a unit is about to be run; one that ended a process is not run again."""
        exchange, key = self.settings.exchange, Key(self.id, *unit)
        if key in exchange.attempts:
            self._publish(unit, self._lost(key, exchange.attempts[key]))
            return False
        self.repeats.begin()
        self.prepare(unit, host)
        self._write(exchange.attempt, key)
        self.settings.timer.restart()
        return True

    def prepare(self, unit: Unit, host: pytest.Item) -> None:  # noqa: B027 - a hook, not an omission
        """Obtain what a unit depends on."""

    def _publish(self, unit: Unit, record: RunRecord) -> None:
        self._write(self.settings.exchange.publish, Key(self.id, *unit), record)

    def _write(self, write: Callable[..., None], *args: Any) -> None:
        try:
            write(*args)
        except OSError as error:
            self.settings.note(f"records could not be written for other processes to read: {error}")

    def _lost(self, key: Key, worker: str) -> RunRecord:
        message = f"process {worker!r} died while it ran this condition"
        error = RunError(LOST, message, self.name, f"{message}.\nIt is not run again.\n")
        return RunRecord(key.condition, key.replicate, self.stream.seed(key.replicate), error=error)

    def runs(self, conditions: Iterable[str]) -> dict[str, ConditionRuns]:
        """Return what is known of these conditions."""
        return {condition: self._runs_of(condition) for condition in conditions}

    def _runs_of(self, condition: str) -> ConditionRuns:
        """Return a condition's runs; those that are complete are put together once for all hypotheses."""
        known = self._complete.get(condition)
        if known is not None and len(known.records) == self.size:
            return known
        record = self.settings.exchange.record
        runs = ConditionRuns(condition, [record(Key(self.id, i, condition)) for i in range(self.size)])
        if None not in runs.records:
            self._complete[condition] = runs
        return runs

    def digest(self, runs: ConditionRuns) -> str:
        """Return the digest of a condition's metrics, made once where the runs are complete."""
        known = self._digests.get(runs)
        if known is None:
            known = self._digests[runs] = digest(record for record in runs.records if record is not None)
        return known

    def unread(self, arms: Mapping[str, ConditionRuns]) -> list[str]:
        """Say which keys of which treatments nothing read in any run."""
        return [
            f"treatment {treatment.name!r} sets {key!r}, which nothing read"
            for treatment in self.treatment_objects
            if treatment.name in arms
            for key in self.analysis_plan.keys.unread(arms[treatment.name])
        ]

    def finish(self) -> None:  # noqa: B027 - a hook, not an omission
        """Act at the end of the session."""


def describe(error: BaseException, step: str, node: pytest.Item) -> RunError:
    """Describe an exception in pytest's manner, with the user's part of the traceback; --pdb stops here."""
    check_failure(error)
    error = error.with_traceback(users_part(error.__traceback__))
    plain = RunError.from_exception(error, step)
    info = pytest.ExceptionInfo.from_exception(error)
    try:
        ours = isinstance(error, CrystallizeError) and not any(
            is_users(entry.path) for entry in info.traceback
        )
        text = str(plain) if ours else str(node.repr_failure(info))
    except BaseException as fault:  # a repr of the user's that fails must not hide the failure itself
        check_failure(fault)
        text = plain.traceback
    if node.config.getoption("usepdb", False):
        call: pytest.CallInfo[None] = pytest.CallInfo(None, info, 0.0, 0.0, 0.0, "call", _ispytest=True)
        report = pytest.TestReport.from_item_and_call(node, call)
        node.ihook.pytest_exception_interact(node=node, call=call, report=report)
    return RunError(plain.type, plain.message, step, text)
