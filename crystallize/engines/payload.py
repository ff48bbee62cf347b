"""What is sent to a process that runs units, what it does there, and what comes back."""

from __future__ import annotations

import contextvars
import io
import os
import pickle
import secrets
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from crystallize.context.context import FrozenContext, context_of, journal_of
from crystallize.context.journal import Journal
from crystallize.context.record import RunError, RunRecord
from crystallize.context.recording import KeptArtifact
from crystallize.context.seeding import global_state_restored
from crystallize.declare.decorated import Declared
from crystallize.declare.treatment import Treatment
from crystallize.engines.expectation import Expectation
from crystallize.engines.interference import prevent_interference
from crystallize.errors import CrystallizeError, OtherCodeError
from crystallize.run.execute import RunPlan
from crystallize.run.pipeline import Hooks
from crystallize.run.plugins import BasePlugin
from crystallize.run.plugins.blocks import BLOCK_SECONDS
from crystallize.run.plugins.pickling import pickled
from crystallize.run.step_cache import CacheReport
from crystallize.run.units import Unit
from crystallize.run.verification import ELSEWHERE

_PATIENCE: Final = 4  # times as long as a block was to take, after which it is handed back as far as it is


class RemoteWork:
    """A plan that runs where it was sent to, in the directory and the context of its modules.

    Parameters
    ----------
    plan : RunPlan
        What is to be run.
    expectation : Expectation
        What the process has to have in common with the one that sends it.
    key : str, optional
        What it is known by; a new one by default.
    """

    context: contextvars.Context

    def __init__(self, plan: RunPlan, expectation: Expectation, key: str | None = None) -> None:
        self.key = key or new_key()
        self._kept = _Kept()
        self.plan = _remote_plan(plan, self._kept)
        self.expectation = expectation
        self.directory = Path.cwd()
        self.differs: str | None = None

    def arrive(self, where: str) -> None:
        """Compare what is here with what is expected; nothing runs where it is not the same."""
        self.differs = self.expectation.check_code(where)
        cache = self.plan.step_cache
        if cache is not None and (self.differs or not cache.is_there()):
            self.plan = self.plan.with_step_cache(None)

    def run(self, unit: Unit) -> RunRecord:
        """Run one unit."""
        return self.plan.run(unit)

    def run_block(self, units: Sequence[Unit], where: str, *, seconds: float) -> BlockResult:
        """Run units one after the other, until it takes far longer than it was to take."""
        records: list[RunRecord] = []
        artifacts: dict[int, tuple[KeptArtifact, ...]] = {}
        with self._exclusive():
            if self.key in STOPPED:  # what a process shares may be somebody else's by now
                return BlockResult(records, artifacts)
            restored = global_state_restored() if self.is_exclusive else nullcontext()
            with self._there(), self.surroundings() as told, restored:
                ended = self._run_units(units, records, artifacts, seconds=_PATIENCE * seconds)
                records = list(self.plan.finished(records))
                if self.differs is not None:
                    self.expectation.check_versions(where)  # a unit may have imported more
        if self.differs is not None:
            reason = f"{ELSEWHERE}: {self.differs}"
            records = [r if r.impure else replace(r, impure=reason) for r in records]
        cache = self.plan.step_cache
        report = None if cache is None else cache.report()
        return BlockResult(records, artifacts, report, self.differs, where, ended, told)

    def _run_units(
        self,
        units: Sequence[Unit],
        records: list[RunRecord],
        artifacts: dict[int, tuple[KeptArtifact, ...]],
        *,
        seconds: float,
    ) -> BaseException | None:
        """Add records and artifacts, for that long at most; return what ended the run, if anything did."""
        started = time.perf_counter()
        for unit in units:
            if self.key in STOPPED:
                break
            try:
                records.append(self.run(unit))
            except BaseException as fault:  # not a failure of the unit
                return fault
            if kept := self._kept.pop(unit):
                artifacts[len(records) - 1] = kept
            if time.perf_counter() - started > seconds:
                break
        return None

    @contextmanager
    def surroundings(self) -> Iterator[list[Any]]:
        """Surround a block; yields a list of what is to be told beside its records, complete on leaving."""
        yield []

    @contextmanager
    def _there(self) -> Iterator[None]:
        """Run in the directory that the experiment was started in, or in an empty one: never in another."""
        if not self.is_exclusive or Path.cwd() == self.directory:
            yield
        elif self.directory.is_dir():
            with chdir(self.directory):
                yield
        else:
            with tempfile.TemporaryDirectory() as empty, chdir(empty):
                yield

    def _exclusive(self) -> AbstractContextManager[object]:
        """Keep other units out while one has the global generators, or other things that threads share."""
        return GENERATORS if self.is_exclusive else nullcontext()

    @property
    def is_exclusive(self) -> bool:
        """Whether a process runs one block at a time."""
        return self.plan.seed_globals is not None


def new_key() -> str:
    """Return what a work is known by in all processes."""
    return secrets.token_hex(8)


STOPPED: Final[set[str]] = set()
"""Keys of remote work of which nothing is to be run any more in this process, nor by workers within it."""

GENERATORS: Final = threading.RLock()
"""Held by a unit that seeds the global generators, which all threads of a process share."""


@dataclass(frozen=True)
class BlockResult:
    """Result of a block of units.

    Attributes
    ----------
    records : list of RunRecord
        Of the first units of the block, or of all.
    artifacts : dict
        Position of a record -> its artifacts, to be written where the experiment was started.
    cache : CacheReport or None
        What became of cached steps.
    differs : str or None
        In what the environment is another one.
    where : str
        Which process ran them.
    ended : exception or None
        What ended the block before its time.
    told : list
        What the surroundings have to say.
    """

    records: list[RunRecord]
    artifacts: dict[int, tuple[KeptArtifact, ...]]
    cache: CacheReport | None = None
    differs: str | None = None
    where: str = ""
    ended: BaseException | None = None
    told: Sequence[Any] = ()

    def received(self, plan: RunPlan) -> Iterator[RunRecord]:
        """Yield the records when their artifacts are kept, and raise what ended the block."""
        if plan.step_cache is not None and self.cache is not None:
            plan.step_cache.take(self.cache)
        for position, record in enumerate(self.records):
            kept = self.artifacts.get(position)
            yield record if kept is None else _with_artifacts(plan, record, kept)
        if self.ended is not None:
            raise self.ended


class Payload:
    """Remote work as bytes, unpacked once in each process that they reach.

    Parameters
    ----------
    work : RemoteWork
        What is sent.
    modules : context manager, optional
        Entered in each process while the work is unpacked, and while its units run.
    advice : str
        What to do with an experiment that can't be sent.
    dumps : callable, optional
        What pickles; by default what `portable_dumps` returns.

    Raises
    ------
    NotPicklableError
        If a part of the experiment can't be sent.
    """

    def __init__(
        self,
        work: RemoteWork,
        *,
        modules: AbstractContextManager[object] | None = None,
        advice: str = "or run it in this process (SerialExecution, ParallelExecution)",
        dumps: Callable[[Any], bytes] | None = None,
    ) -> None:
        self.key = work.key
        self.home = _process()
        self.modules = modules
        self.expectation = replace(work.expectation, subject=None, parts={})  # type: ignore[arg-type]
        self.data = pickled(work.plan, work, dumps=dumps or portable_dumps(), advice=advice)
        self.is_exclusive = work.is_exclusive
        self._work: RemoteWork | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Send the bytes, whatever was made of them here."""
        return vars(self) | {"_work": None}

    def run_block(self, units: Sequence[Unit], *, seconds: float = BLOCK_SECONDS) -> BlockResult:
        """Run units in this process, which are to take that long."""
        prevent_interference(threads=not self.is_sender)
        host, number = _process()
        where = f"process {number} on {host}"
        with _unpacking:
            work = self._work or _unpacked_works.get(self.key)
            if work is None:
                work = _unpacked_works[self.key] = self._unpacked(where)
            self._work = work
        with GENERATORS if self.modules is not None else nullcontext(), self._modules():
            return work.context.copy().run(work.run_block, units, where, seconds=seconds)

    @property
    def is_sender(self) -> bool:
        """Whether this is the process that made it."""
        return self.home == _process()

    def _modules(self) -> AbstractContextManager[object]:
        return nullcontext() if self.modules is None or self.is_sender else self.modules

    def _unpacked(self, where: str) -> RemoteWork:
        self.expectation.check_environment(where)
        try:
            with GENERATORS, self._modules():
                work: RemoteWork = pickle.loads(self.data)
                work.context = contextvars.copy_context()  # modules may have set it: decimal's, numpy's
                work.arrive(where)
        except CrystallizeError:
            raise
        except Exception as fault:
            raise OtherCodeError(
                f"{where} can't rebuild {self.expectation.name}: {type(fault).__name__}: {fault}; give it "
                "the modules that the experiment is made of (install the package there, or "
                "client.upload_file)"
            ) from fault
        return work


_unpacking = threading.RLock()
_unpacked_works: weakref.WeakValueDictionary[str, RemoteWork] = weakref.WeakValueDictionary()


def told_once(
    results: Iterable[BlockResult], plan: RunPlan, tell: Callable[[str], None]
) -> Generator[RunRecord, None, None]:
    """Yield the records of results; tell, once each, in what the environment of a process differs."""
    told: set[str] = set()
    for result in results:
        if result.differs is not None and result.differs not in told:
            told.add(result.differs)
            tell(
                f"{plan.name}: {result.where} has another environment, so results may differ in their last "
                f"bits and are not stored: {result.differs}"
            )
        yield from result.received(plan)


def _process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def portable_dumps() -> Callable[[Any], bytes]:
    """Return what pickles for any process; with cloudpickle, where it is there, code of the script, too."""
    try:
        import cloudpickle  # optional: engines such as loky and Dask bring it
    except ImportError:
        return pickle.dumps

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Declared | Treatment):
                home = getattr(obj.function if isinstance(obj, Treatment) else obj, "__module__", None)
                if home == "__main__":  # which is another one elsewhere
                    return obj.reduce_by_value()
            return super().reducer_override(obj)

    def dumps(value: Any) -> bytes:
        file = io.BytesIO()
        Pickler(file).dump(value)
        return file.getvalue()

    return dumps


# Artifacts: collected where a unit runs, written where the experiment was started.


class _Kept(BasePlugin):
    """Stand-in for the plugins that write artifacts; it keeps what they would write."""

    def __init__(self) -> None:
        self._found: dict[Unit, tuple[KeptArtifact, ...]] = {}

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        journal = journal_of(ctx)
        if journal.artifacts:
            self._found[Unit(journal.replicate, journal.condition)] = tuple(journal.artifacts)

    def pop(self, unit: Unit) -> tuple[KeptArtifact, ...]:
        """Return the artifacts of a unit that was run."""
        return self._found.pop(unit, ())


def _remote_plan(plan: RunPlan, kept: _Kept) -> RunPlan:
    """Return a plan whose artifacts are kept rather than written."""
    experiment = plan.hooks.experiment
    if experiment is not None:
        experiment = experiment.varied(
            plugins=[kept if plugin.is_local() else plugin for plugin in experiment.plugins]
        )
    plugins = [kept if plugin.is_local() else plugin for plugin in plan.hooks.plugins]
    return replace(plan, hooks=Hooks(experiment, plugins))


def _with_artifacts(plan: RunPlan, record: RunRecord, kept: tuple[KeptArtifact, ...]) -> RunRecord:
    """Have the plugins at home write artifacts; if they can't, the run has failed."""
    word = plan.stream.word(record.replicate)
    journal = Journal(plan.initial, word, record.condition, record.replicate)
    plan.stream.begin(journal)
    journal.artifacts.extend(kept)
    for plugin in plan.hooks.plugins:
        if not plugin.is_local():
            continue
        try:
            plugin.after_replicate(plan.hooks.experiment, context_of(journal))
        except Exception as fault:
            error = RunError.from_exception(fault, f"{type(plugin).__name__}.after_replicate")
            return replace(record, error=error)
    return record
