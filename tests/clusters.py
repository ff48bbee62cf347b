"""Dask schedulers and workers on loopback, each a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class _Process:
    """A process of which one line is waited for, and the rest is kept."""

    def __init__(
        self, module: str, *arguments: str, directory: Path, pattern: str, env: dict[str, str]
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=directory,
            env=os.environ | env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(pattern, line):
                self.found = found[1]
                break
        else:
            raise RuntimeError("".join(self.lines))
        self._rest = threading.Thread(target=self.lines.extend, args=(self.process.stderr,))
        self._rest.start()

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait()
        self._rest.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


class Cluster:
    """A scheduler and its workers, each with one thread and no nanny.

    Attributes
    ----------
    address : str
        Of the scheduler.
    """

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        self.directory = directory
        self._workers: list[_Process] = []
        self._scheduler: _Process | None = _Process(
            "distributed.cli.dask_scheduler",
            *("--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"),
            directory=directory,
            pattern=r"Scheduler at: +(tcp://\S+)",
            env={},
        )
        self.address = self._scheduler.found

    def add(
        self, number: int = 1, *, env: dict[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> None:
        """Start workers, and wait until the scheduler knows them."""
        arguments = (self.address, "--host", "127.0.0.1", "--no-dashboard", "--no-nanny", *options)
        threads = () if "--nthreads" in options else ("--nthreads", "1")
        self._workers += [
            _Process(
                "distributed.cli.dask_worker",
                *arguments,
                *threads,
                directory=self.directory,
                pattern=r"Starting established connection to (tcp://\S+)",
                env=env or {},
            )
            for _ in range(number)
        ]

    @property
    def pids(self) -> list[int]:
        """Processes of the workers."""
        return [worker.process.pid for worker in self._workers]

    def kill(self, number: int) -> None:
        """Kill a worker with signal 9."""
        self._workers.pop(number).end()

    def lose_scheduler(self) -> None:
        """Kill the scheduler with signal 9."""
        assert self._scheduler is not None
        self._scheduler.end()
        self._scheduler = None

    def close(self) -> None:
        """End what is left."""
        for worker in self._workers:
            worker.end()
        if self._scheduler is not None:
            self._scheduler.end()


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Return a function that starts a cluster with some workers, which end with the test."""
    pytest.importorskip("distributed")
    started: list[Cluster] = []
    directory = tmp_path / "cluster"
    directory.mkdir()

    def start(workers: int = 2, **options: int) -> Cluster:
        cluster = Cluster(directory, **options)
        started.append(cluster)
        cluster.add(workers)
        return cluster

    yield start
    for cluster in started:
        cluster.close()
