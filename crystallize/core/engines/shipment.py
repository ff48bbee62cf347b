"""What is sent to a process that runs units, what it does there, and what comes back."""

from __future__ import annotations

import copy
import os
import pickle
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

from crystallize.core.context import FrozenContext
from crystallize.core.engines.expectation import Expectation
from crystallize.core.plugins import BasePlugin
from crystallize.core.plugins.blocks import BLOCK_SECONDS
from crystallize.core.plugins.pickling import pickled
from crystallize.core.record import RunError, RunRecord
from crystallize.core.recording import KeptArtifact
from crystallize.core.run import Hooks, RunPlan, Unit
from crystallize.core.seeding import global_state_restored
from crystallize.core.step_cache import CacheReport
from crystallize.errors import CrystallizeError, OtherCodeError

_PATIENCE: Final = 4  # times as long as a block was to take, after which it is handed back as far as it is

_MOST_UNPACKED: Final = 8


class Cargo:
    """A plan that runs where it was sent to.

    Parameters
    ----------
    plan : RunPlan
        What is to be run.
    expectation : Expectation
        What the process has to have in common with the one that sends it.
    """

    def __init__(self, plan: RunPlan, expectation: Expectation) -> None:
        self._kept = _Kept()
        self.plan = _travelling(plan, self._kept)
        self.expectation = expectation
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

    def told(self) -> Any:
        """Return what the process has to say beside its records, since it was last asked."""

    def run_block(self, units: Sequence[Unit], where: str, *, seconds: float) -> BlockResult:
        """Run units one after the other, until it takes far longer than it was to take."""
        records: list[RunRecord] = []
        artifacts: dict[int, tuple[KeptArtifact, ...]] = {}
        ended: BaseException | None = None
        with self._exclusive(), global_state_restored():
            started = time.perf_counter()
            for unit in units:
                try:
                    records.append(self.run(unit))
                except BaseException as fault:  # what ends a run, not a failure of the unit
                    ended = fault
                    break
                if kept := self._kept.pop(unit):
                    artifacts[len(records) - 1] = kept
                if time.perf_counter() - started > _PATIENCE * seconds:
                    break
            records = list(self.plan.finished(records))
        if self.differs is not None:
            reason = f"was run where the environment is another: {self.differs}"
            records = [r if r.impure else replace(r, impure=reason) for r in records]
        cache = self.plan.step_cache
        report = None if cache is None else cache.report()
        return BlockResult(records, artifacts, report, self.differs, where, ended, self.told())

    def _exclusive(self) -> AbstractContextManager[object]:
        """Keep other units out while one has the global generators."""
        return nullcontext() if self.plan.seed_globals is None else GENERATORS


GENERATORS: Final = threading.Lock()
"""Held by a unit that seeds the global generators, which all threads of a process share."""


@dataclass(frozen=True)
class BlockResult:
    """What came of a block of units.

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
    told : any
        What the cargo has to say.
    """

    records: list[RunRecord]
    artifacts: dict[int, tuple[KeptArtifact, ...]]
    cache: CacheReport | None = None
    differs: str | None = None
    where: str = ""
    ended: BaseException | None = None
    told: Any = None

    def brought_home(self, plan: RunPlan) -> Iterator[RunRecord]:
        """Yield the records when their artifacts are kept, and raise what ended the block."""
        if plan.step_cache is not None and self.cache is not None:
            plan.step_cache.take(self.cache)
        for position, record in enumerate(self.records):
            kept = self.artifacts.get(position)
            yield record if kept is None else _with_artifacts(plan, record, kept)
        if self.ended is not None:
            raise self.ended


class Shipment:
    """A cargo as bytes, which each process that they reach unpacks once.

    Parameters
    ----------
    cargo : Cargo
        What is sent.
    before : callable, optional
        Called in each process before the cargo is unpacked.

    Raises
    ------
    NotPicklableError
        If a part of the experiment can't be sent.
    """

    def __init__(self, cargo: Cargo, *, before: Callable[[], object] | None = None) -> None:
        self.key = secrets.token_hex(8)
        self.home = _process()
        self.before = before
        self.expectation = replace(cargo.expectation, subject=None, parts={})  # type: ignore[arg-type]
        self.payload = pickled(
            cargo.plan,
            cargo,
            dumps=_dumps(),
            advice="or run it in this process (SerialExecution, ParallelExecution)",
        )

    def run_block(self, units: Sequence[Unit], *, seconds: float = BLOCK_SECONDS) -> BlockResult:
        """Run units in this process, which are to take that long."""
        host, number = _process()
        where = f"process {number} on {host}"
        return self._unpacked(where).run_block(units, where, seconds=seconds)

    @property
    def is_home(self) -> bool:
        """Whether this is the process that made it."""
        return self.home == _process()

    def _unpacked(self, where: str) -> Cargo:
        with _unpacking:
            known = _cargoes.get(self.key)
            if known is None:
                known = self._unpack(where)
                _cargoes[self.key] = known
                while len(_cargoes) > _MOST_UNPACKED:
                    _cargoes.popitem(last=False)
            return known

    def _unpack(self, where: str) -> Cargo:
        self.expectation.check_environment(where)
        try:
            if self.before is not None and not self.is_home:
                self.before()
            cargo: Cargo = pickle.loads(self.payload)
        except CrystallizeError:
            raise
        except Exception as fault:
            raise OtherCodeError(
                f"{where} can't rebuild {self.expectation.name}: {type(fault).__name__}: {fault}; give it "
                "the modules that the experiment is made of (install the package there, or "
                "client.upload_file)"
            ) from fault
        cargo.arrive(where)
        return cargo


_cargoes: OrderedDict[str, Cargo] = OrderedDict()
_unpacking = threading.RLock()


def _process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _dumps() -> Callable[[Any], bytes]:
    """Return what pickles; cloudpickle, where it is there, sends code that no module holds, too."""
    try:
        import cloudpickle  # optional: engines such as loky and Dask bring it
    except ImportError:
        return pickle.dumps
    dumps: Callable[[Any], bytes] = cloudpickle.dumps
    return dumps


# Artifacts: collected where a unit runs, written where the experiment was started.


class _Kept(BasePlugin):
    """Stands for the plugins that write artifacts, and keeps what they would write."""

    def __init__(self) -> None:
        self._found: dict[Unit, tuple[KeptArtifact, ...]] = {}

    def after_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        if ctx._artifacts:
            self._found[Unit(ctx._replicate, ctx._condition)] = tuple(ctx._artifacts)

    def pop(self, unit: Unit) -> tuple[KeptArtifact, ...]:
        """Return the artifacts of a unit that was run."""
        return self._found.pop(unit, ())


def _travelling(plan: RunPlan, kept: _Kept) -> RunPlan:
    """Return a plan whose artifacts are kept rather than written."""
    experiment = copy.copy(plan.hooks.experiment)
    if experiment is not None:
        experiment.plugins = [kept if plugin.acts_at_home else plugin for plugin in experiment.plugins]
    plugins = [kept if plugin.acts_at_home else plugin for plugin in plan.hooks.plugins]
    return replace(plan, hooks=Hooks(experiment, plugins))


def _with_artifacts(plan: RunPlan, record: RunRecord, kept: tuple[KeptArtifact, ...]) -> RunRecord:
    """Have the plugins at home write artifacts; if they can't, the run has failed."""
    word = plan.stream.word(record.replicate)
    ctx = FrozenContext._for_run(plan.initial, word, record.condition, record.replicate, plan.logger)
    ctx._artifacts.extend(kept)
    for plugin in plan.hooks.plugins:
        if not plugin.acts_at_home:
            continue
        try:
            plugin.after_replicate(plan.hooks.experiment, ctx)
        except Exception as fault:
            error = RunError.from_exception(fault, f"{type(plugin).__name__}.after_replicate")
            return replace(record, error=error)
    return record
