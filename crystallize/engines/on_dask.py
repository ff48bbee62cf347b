"""Blocks of units on a Dask cluster: who is given which, and what becomes of those whose worker is lost."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from crystallize.context.context import LOGGER
from crystallize.context.record import RunError, RunRecord
from crystallize.engines.expectation import Expectation
from crystallize.engines.payload import (
    GENERATORS,
    STOPPED,
    BlockResult,
    Payload,
    RemoteWork,
    told_once,
)
from crystallize.errors import EngineError, MissingExtraError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins.blocks import BLOCK_SECONDS, Feed
from crystallize.run.units import Unit
from crystallize.text.warned import warn

_PER_THREAD: Final = 2  # blocks that a worker has: one that it runs, and one that waits
_SECONDS_PER_WORKER: Final = 0.01  # of a block: this process hands over no more than a hundred in a second
_LOOK_AFTER: Final = 0.5  # seconds between two looks at which workers there are
_PATIENCE: Final = (
    5.0  # seconds that a result may take to come; twice as long each time it is asked for again
)
_MOST_ATTEMPTS: Final = 6
_DEATHS: Final = 2  # workers that a unit may kill
_MOST_RESETS: Final = 20


def connected(address: str, timeout: float) -> Any:
    """Return a Dask client of its own for a scheduler.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    EngineError
        If no scheduler answers.
    """
    try:
        from distributed import Client  # optional: extra "dask"
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise MissingExtraError(
            "Dask is not installed; pip install 'pytest-crystallize[dask]' brings it"
        ) from error
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)  # it logs tracebacks for information
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # workers are compared before they run
            return Client(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call]
    except Exception as error:  # of a protocol, say, that needs more than an address
        raise EngineError(
            f"no Dask scheduler answers at {address!r}: {error or type(error).__name__}; start one with "
            "'dask scheduler', and workers with 'dask worker'"
        ) from error


def leave(client: Any) -> None:
    """Close a client that `connected` made; that its scheduler is gone has been told."""
    lost = client.status != "running"
    disabled = logging.root.manager.disable
    if lost:
        logging.disable(logging.CRITICAL)
    try:
        client.close(timeout=5)
    except Exception:  # whatever is left of it ends with the process
        if not lost:
            raise
    finally:
        logging.disable(disabled)


def records_on_dask(
    client: Any, plan: RunPlan, units: Sequence[Unit], *, timeout: float
) -> Generator[RunRecord, None, None]:
    """Yield the records of units that a cluster runs; warn of workers whose environment is another one."""
    payload = Payload(RemoteWork(plan, Expectation.of_run(plan)))
    run = DaskRun(client, payload, plan, units, timeout=timeout, tell=LOGGER.warning)
    with closing(run.results()) as results:
        yield from told_once(results, plan, warn)


@dataclass(eq=False)
class _Sent:
    """A block on its way.

    Attributes
    ----------
    units : list of Unit
        What is in it.
    worker : str
        Address of the worker that it was given to.
    payload : distributed.Future
        What it runs there.
    attempts : int
        How often its result was asked for in vain.
    """

    units: list[Unit]
    worker: str
    payload: Any
    attempts: int = 0


@dataclass(eq=False)
class _Block:
    """Units, in a shape that Dask does not draw random numbers to find the size of."""

    units: list[Unit]
    seconds: float


class DaskRun:
    """The blocks of one plan on a cluster.

    Each block is given to a worker by name. So it is known what a worker was running when it was lost: these
    units are run once more, each alone on a worker; one with which a second worker dies is not tried again.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    payload : Payload
        What workers run.
    plan : RunPlan
        The plan in it, as it is here.
    units : sequence of Unit
        What is to be run.
    timeout : float
        Seconds without any worker after which it ends.
    tell : callable
        Takes a line for each worker that was lost.
    """

    def __init__(
        self,
        client: Any,
        payload: Payload,
        plan: RunPlan,
        units: Sequence[Unit],
        *,
        timeout: float,
        tell: Callable[[str], None],
    ) -> None:
        self._client = client
        self._payload = payload
        self._plan = plan
        self._timeout = timeout
        self._tell = tell
        self._total = len(units)
        self._done = 0
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._under_way: dict[Any, _Sent] = {}
        self._load: Counter[str] = Counter()
        self._suspects: deque[Unit] = deque()  # units that were with a worker that died
        self._deaths: dict[Unit, list[str]] = {}  # unit -> workers that died with it
        self._number = itertools.count()
        # One copy for each worker, of its own: copies of one thing are reduced by Dask as it likes.
        self._scattered: dict[str, Any] = {}
        self._resets = 0
        self._workers: dict[str, int] = {}
        self._looked = 0.0
        self._seen = time.monotonic()
        self._feed = Feed(units)
        self._look()

    def results(self) -> Generator[BlockResult, None, None]:
        """Yield what came of every block; closed, or at an error, it cancels what is queued.

        Raises
        ------
        EngineError
            If the scheduler or all workers are lost, or workers can't run the units.
        """
        try:
            while self._feed or self._suspects or self._under_way:
                self._refill()
                for result in self._next():
                    self._done += len(result.records)
                    yield result
        finally:
            self._cancel()

    def _cancel(self) -> None:
        left = list(self._under_way)
        self._under_way.clear()
        with contextlib.suppress(Exception):  # the scheduler may be gone, which has been told
            if left and self._client.status == "running":
                self._client.cancel(left, force=True)
        self._scattered.clear()
        STOPPED.add(self._payload.key)
        with GENERATORS:  # a worker in this process may be about to end a block under the global generators
            pass

    # Who is given what.

    def _refill(self) -> None:
        reserved = self._reserved()
        if reserved is not None and self._suspects and self._load[reserved] == 0:
            self._send([self._suspects.popleft()], reserved)
        while self._feed:
            worker = self._idlest(reserved)
            if worker is None:
                return
            self._send(self._feed.take(), worker)

    def _reserved(self) -> str | None:
        """Return the worker that is kept for units under suspicion, one by one; None if there are none."""
        suspected = self._deaths.keys()
        busy = (sent.worker for sent in self._under_way.values() if not suspected.isdisjoint(sent.units))
        return next(busy, None) or (min(self._workers, default=None) if self._suspects else None)

    def _idlest(self, reserved: str | None) -> str | None:
        """Return the worker that has most room for another block."""
        free = [w for w in self._workers if w != reserved and self._load[w] < self._workers[w]]
        return min(
            free, key=lambda worker: (self._load[worker] / self._workers[worker], worker), default=None
        )

    def _send(self, units: list[Unit], worker: str) -> None:
        try:
            if worker not in self._scattered:
                self._scattered[worker] = self._client.scatter(self._payload, workers=[worker], hash=False)
            future = self._client.submit(
                _run_block,
                self._scattered[worker],
                _Block(units, self._feed.seconds),
                workers=[worker],
                pure=False,
                key=f"crystallize-{self._payload.key}-{next(self._number)}",
            )
        except Exception as fault:  # a worker was lost in this moment, or the scheduler
            self._check_scheduler(fault)
            self._reset(_Sent(units, worker, self._scattered.get(worker)), fault)
            self._workers.pop(worker, None)  # until the next look
            return
        self._under_way[future] = _Sent(units, worker, self._scattered[worker])
        self._load[worker] += 1
        future.add_done_callback(self._finished.put)

    # What comes back.

    def _next(self) -> Iterator[BlockResult]:
        """Yield what there is; wait for a while if there is nothing."""
        try:
            future = self._finished.get(timeout=_LOOK_AFTER)
        except queue.Empty:
            future = None
        if future in self._under_way:
            yield from self._received(future)
        if time.monotonic() - self._looked > _LOOK_AFTER:
            yield from self._look_after_workers()

    def _received(self, future: Any) -> Iterator[BlockResult]:
        sent = self._under_way[future]
        status = future.status
        if status == "finished":
            try:
                result: BlockResult = future.result(timeout=_PATIENCE * 2**sent.attempts)
            except (
                Exception
            ) as fault:  # it is large, or its worker was lost with it, which the next look finds
                self._check_scheduler(fault)
                sent.attempts += 1
                if sent.attempts == _MOST_ATTEMPTS:
                    raise EngineError(
                        f"a result of {sent.worker} can't be fetched: {type(fault).__name__}: {fault}"
                    ) from fault
                self._finished.put(future)
                return
            self._forget(future)
            self._feed.learn(result.records)
            self._resets = 0
            rest = sent.units[len(result.records) :]
            if rest and result.ended is None:
                self._feed.give_back(rest)
            yield result
        elif status == "error":
            self._forget(future)
            yield from self._failed(sent, future.exception())
        elif status in ("cancelled", "lost"):
            self._check_scheduler(None)
            self._look()
            self._forget(future)
            if sent.worker in self._workers:
                self._reset(sent, None)
            else:  # its worker died, and with it what it had been sent
                yield from self._lost(sent)

    def _forget(self, future: Any) -> None:
        sent = self._under_way.pop(future)
        self._load[sent.worker] -= 1

    def _failed(self, sent: _Sent, fault: BaseException) -> Iterator[BlockResult]:
        from distributed import KilledWorker  # optional, and loaded: there is a client

        fault = fault.with_traceback(None)  # of frames that are not here, which some reports fall over
        if isinstance(fault, KilledWorker):  # a worker that came back at the same address
            yield from self._lost(sent)
        elif isinstance(fault, EngineError):
            raise fault
        else:
            raise EngineError(
                f"worker {sent.worker} can't run units: {type(fault).__name__}: {fault}; it needs the "
                "packages that this process has, pytest-crystallize among them"
            ) from fault

    def _reset(self, sent: _Sent, fault: BaseException | None) -> None:
        """Send again what was lost through no fault of its own: with its data, or by a restart."""
        if sent.payload is self._scattered.get(sent.worker):  # else the loss is known
            self._scattered.pop(sent.worker, None)
            self._resets += 1
        if self._resets > _MOST_RESETS:
            raise EngineError(
                f"the cluster at {self._address} loses what it is given{self._so_far()}"
            ) from fault
        if self._deaths.keys().isdisjoint(sent.units):
            self._feed.give_back(sent.units)
        else:
            self._suspects.extend(sent.units)

    # Workers that come and go.

    def _look_after_workers(self) -> Iterator[BlockResult]:
        self._check_scheduler(None)
        self._look()
        if not self._workers and time.monotonic() - self._seen > self._timeout:
            raise EngineError(
                f"the cluster at {self._address} has had no worker for {self._timeout:g} s{self._so_far()}; "
                f"start some with 'dask worker {self._address}'"
            )
        for future, sent in list(self._under_way.items()):
            if future.status != "pending" and not sent.attempts:  # in case nobody called us back
                self._finished.put(future)
            if sent.worker not in self._workers and future.status == "finished":
                self._forget(future)  # it had done its work, which went with the worker
                self._reset(sent, None)
            elif sent.worker not in self._workers:
                self._forget(future)
                with contextlib.suppress(Exception):  # it can't be run any more in any case
                    self._client.cancel([future], force=True)
                yield from self._lost(sent)

    def _look(self) -> None:
        try:
            threads: dict[str, int] = self._client.nthreads()
        except Exception as fault:
            self._check_scheduler(fault)
            return
        alone = self._payload.is_exclusive  # a process runs one unit at a time
        self._workers = {w: _PER_THREAD if alone else _PER_THREAD * n for w, n in threads.items()}
        self._scattered = {w: sent for w, sent in self._scattered.items() if w in self._workers}
        self._feed.slots = sum(self._workers.values()) or 1
        self._feed.seconds = max(BLOCK_SECONDS, _SECONDS_PER_WORKER * len(self._workers))
        self._looked = time.monotonic()
        if self._workers:
            self._seen = self._looked

    def _lost(self, sent: _Sent) -> Iterator[BlockResult]:
        """Have units that were with a worker which died be run alone; report those that killed two."""
        if self._was_retired(sent.worker):
            self._reset(sent, None)
            return
        if not any(sent.worker in died for died in self._deaths.values()):
            self._tell(
                f"{self._plan.name}: worker {sent.worker} was lost; what it was running is run again "
                "elsewhere"
            )
        for unit in sent.units:
            died = self._deaths.setdefault(unit, [])
            died.append(sent.worker)
            if len(died) < _DEATHS or len(sent.units) > 1:
                self._suspects.append(unit)
                continue
            message = f"{len(died)} workers died while they ran this condition: {', '.join(died)}"
            error = RunError(
                "WorkerDied", message, "worker", f"WorkerDied: {message}\nIt is not run again.\n"
            )
            yield BlockResult([self._plan.failed(unit, error)], {})

    def _was_retired(self, worker: str) -> bool:
        """Return whether a worker left as the cluster was scaled down: nothing that it ran is to blame."""
        try:
            events = self._client.get_events(worker)
        except Exception as fault:
            self._check_scheduler(fault)
            return False
        removals = [e for _, e in events if isinstance(e, dict) and e.get("action") == "remove-worker"]
        return bool(removals) and removals[-1].get("expected", False)

    @property
    def _address(self) -> str:
        return str(self._client.scheduler.address) if self._client.scheduler else "?"

    def _check_scheduler(self, fault: BaseException | None) -> None:
        if self._client.status != "running":
            raise EngineError(f"the Dask scheduler at {self._address} was lost{self._so_far()}") from fault

    def _so_far(self) -> str:
        return f"; {self._done} of {self._total} runs were done"


def _run_block(payload: Payload, block: _Block) -> BlockResult:
    """Run a block on a worker."""
    return payload.run_block(block.units, seconds=block.seconds)
