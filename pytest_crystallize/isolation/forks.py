"""Forked processes that come back from the code under test: each is ended, and its parent told."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Final, NoReturn

import pytest

from crystallize.seam import FORKS, at_fork

CHILD_SECONDS: Final = 10.0
"""How long forked processes that are still there are waited for at the end."""
_WORKER_SECONDS: Final = 1.0
"""How long if workers of `multiprocessing` are, which never come back and may be there for good."""

_START = "a hook around the collection"
_END = "a hook at the end of the session"

_forks = 0


def _count() -> None:
    global _forks
    _forks += 1


at_fork(in_parent=_count)


class ForkedProcessCameBack(Exception):
    """Return of a process that the code under test had forked, as if it were to go on with the session."""


class Forks:
    """Forked children of this process: those that come back are ended, and their parent hears of it.

    A child that does its work and exits, as those of `multiprocessing` do, never comes back.
    """

    def __init__(self) -> None:
        self._session = self._process = os.getpid()
        self._known = _forks
        self._pipe: tuple[int, int] | None = None

    def begin(self) -> None:
        """Note which process begins to run the code under test."""
        self._process = os.getpid()
        if self._pipe is None and FORKS:
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[0], False)

    def is_child(self) -> bool:
        """Return whether this process is another one than began."""
        return os.getpid() != self._process

    def is_copy(self) -> bool:
        """Return whether this process is a child of the session's, in which nobody means to run it."""
        return os.getpid() != self._session

    def leave(self, what: str) -> NoReturn:
        """End this process, a child, and tell where it came back from."""
        if self._pipe is not None:
            with suppress(OSError):
                os.write(self._pipe[1], f"{what}\n".encode(errors="backslashreplace")[-select.PIPE_BUF :])
        os._exit(1)

    def check(self, *, at_end: bool) -> None:
        """Raise `ForkedProcessCameBack` if a child of the session's process has come back.

        Parameters
        ----------
        at_end : bool
            Whether nothing comes behind this, so that children are waited for a little.
        """
        if self._pipe is None or self._known == _forks or self.is_copy():  # children leave that to it
            return
        read, write = self._pipe
        if at_end:
            os.close(write)  # children have it, too: there is nothing more to read once all of them are gone
            select.select([read], [], [], _WORKER_SECONDS if _has_workers() else CHILD_SECONDS)
        told = b""
        with suppress(BlockingIOError):
            told = os.read(read, 1 << 16)
        if at_end:
            os.close(read)
            self._pipe, self._known = None, _forks
        if told:
            places = dict.fromkeys(told.decode(errors="replace").splitlines())
            raise ForkedProcessCameBack(
                f"a process forked in {', and one in '.join(places)} came back from there, and was ended; "
                "end it by os._exit, or use multiprocessing"
            )

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._pipe or ():
            os.close(descriptor)
        self._pipe = None


def _has_workers() -> bool:
    loaded = sys.modules.get("multiprocessing")
    return loaded is not None and bool(loaded.active_children())


class ForkHooks:
    """Hooks that keep children which come back from going on with the session.

    Parameters
    ----------
    forks : Forks
        Of the session.
    fail : callable
        Has the session fail, given what is told.
    """

    def __init__(self, forks: Forks, fail: Callable[[str], object]) -> None:
        self._forks = forks
        self._fail = fail

    # Of the session.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Be ready to hear of children."""
        self._forks.begin()

    @pytest.hookimpl(trylast=True, specname="pytest_sessionstart")
    def pytest_sessionstart_before_workers(self) -> None:
        """End a child that comes back from a hook, before it starts workers of its own."""
        if self._forks.is_copy():
            self._forks.leave(_START)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """End a child that comes back from a hook before or around the collection."""
        return (yield from self._bracketed(_START))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, object, object]:
        """End a child that comes back from a module or a factory."""
        return (yield from self._bracketed(f"the collection of {collector.nodeid}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """End a child that comes back from a hook that makes or takes in reports."""
        return (yield from self._bracketed(f"a hook around {report.nodeid}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """End a child that comes back from what shows the results, and hear of it."""
        self._forks.begin()
        result = yield from self._bracketed(_END)
        self._hear()
        return result

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_before_results(self) -> None:
        """End a child that comes back from a hook before it shows results, and hear of it."""
        if self._forks.is_copy():
            self._forks.leave(_END)
        self._hear()
        self._forks.begin()

    def _hear(self) -> None:
        try:
            self._forks.check(at_end=True)
        except ForkedProcessCameBack as error:
            self._fail(str(error))

    def _bracketed(self, what: str) -> Generator[None, object, object]:
        if self._forks.is_copy():
            self._forks.leave(what)
        try:
            return (yield)
        finally:
            if self._forks.is_copy():
                self._forks.leave(what)

    # Of items.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """End a child that comes back from a hook around the phases of an item."""
        process = os.getpid()  # a plugin may run the phases in a child, which it ends itself
        try:
            return (yield)
        finally:
            if os.getpid() != process:
                self._forks.leave(f"a hook around {_shown(item)}")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """End a child that comes back from a fixture or a hook."""
        return (yield from self._watched(f"the setup of {_shown(item)}"))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """End a child that comes back from a verifier or a hook."""
        return (yield from self._watched(_shown(item)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """End a child that comes back from a fixture or a hook, and raise if one came back until now."""
        result = yield from self._watched(f"the teardown of {_shown(item)}")
        self._forks.check(at_end=nextitem is None)
        return result

    def pytest_unconfigure(self) -> None:
        """Close the files."""
        self._forks.close()

    def _watched(self, what: str) -> Generator[None, object, object]:
        self._forks.begin()
        try:
            return (yield)
        finally:
            if self._forks.is_child():
                self._forks.leave(what)


def _shown(item: pytest.Item) -> str:
    """Return what an item is called where it is reported: nobody knows a token."""
    nodeid: str = getattr(item, "experiment", (item.nodeid,))[0]
    return nodeid
