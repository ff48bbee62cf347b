"""Tokens: silent items by which every worker of pytest-xdist has its part in an experiment's replicates.

Of few experiments, each has tokens of its own before its first item, so that its verdicts come early. If
there are many, workers have others to run meanwhile. Behind all items are tokens of the whole session, for
replicates that nobody has claimed so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_crystallize.collect.items import HypothesisItem, PrefetchItem
from pytest_crystallize.naming.ids import checksum

PER_WORKER = 32
LAST_PER_WORKER = 4
_ID = re.compile(r"::block-[0-9a-f]{8}-\w+::run\Z")


def is_token(nodeid: str) -> bool:
    """Return whether a node id is that of a token."""
    return _ID.search(nodeid) is not None


class LastToken(pytest.Item):
    """A token behind all items: the worker that comes to it has nothing else to run.

    Parameters
    ----------
    items : list of HypothesisItem
        The first of each experiment that may be helped.
    """

    def __init__(self, *, items: list[HypothesisItem], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._items = items
        # What conftests look at, of its first experiment: no fixture has a value here.
        function = items[0].function
        self.obj = self.function = function
        self.originalname = self.name
        self.module, self.cls, self.instance = items[0].module, items[0].cls, None
        self.funcargs: dict[str, Any] = {}
        self.fixturenames: list[str] = []

    def tokens(self) -> Iterator[PrefetchItem]:
        """Yield a token of each experiment that has something unclaimed when it comes to it."""
        for item in self._items:
            token = _token(item, "last", None)
            if not token.is_idle:
                yield token

    def ending(self, latest: HypothesisItem | None) -> PrefetchItem:
        """Return what ends the session of this worker as its last test would; of the latest experiment."""
        return _token(latest or self._items[0], "end", None)

    def let_go(self) -> None:
        """Let go of the items, of which all hold the same list."""
        self._items.clear()

    def runtest(self) -> None:
        """Do nothing: its tokens are run in its place."""


def with_tokens(
    session: pytest.Session, items: Sequence[pytest.Item], workers: int, dist: str
) -> Iterator[pytest.Item]:
    """Put experiments' tokens before their first items, and those of the session behind all.

    Parameters
    ----------
    session : Session
        Of pytest.
    items : list of Item
        What it has collected.
    workers : int
        How many workers there are; tokens of one are for nothing.
    dist : str
        How pytest-xdist shares out items; with ``loadfile``, files stay with their workers.
    """
    firsts: dict[str, HypothesisItem] = {}
    for item in items if workers > 1 else ():
        if isinstance(item, HypothesisItem) and _is_shared(item):
            firsts.setdefault(item.runs.id, item)
    each = PER_WORKER * workers // max(1, len(firsts))
    for item in items:
        if each >= workers and isinstance(item, HypothesisItem) and firsts.get(item.runs.id) is item:
            replicates = item.runs.replicates
            count = min(replicates, each)
            yield from (_token(item, number, -(-replicates // count)) for number in range(count))
        yield item
    helped = [*firsts.values()] if dist != "loadfile" else []
    for number in range(LAST_PER_WORKER * workers if helped else 0):
        name = f"block-{0:08x}-{number}::run"
        yield LastToken.from_parent(session, name=name, nodeid=f"crystallize::{name}", items=helped)


def _is_shared(item: HypothesisItem) -> bool:
    """Return whether other workers are to help: not with a group, whose replicates are to stay with it."""
    grouped = item.config.getoption("loadgroup", False) and item.get_closest_marker("xdist_group")
    runs = item.runs
    return bool(runs.needed) and not grouped and not runs.on_cluster and runs.settings.merged is None


def _token(item: HypothesisItem, number: int | str, share: int | None) -> PrefetchItem:
    parent, place = item.parent, checksum(item.runs.id)
    assert parent is not None
    nodeid = f"{parent.nodeid}::block-{place:08x}-{number}::run"
    token: PrefetchItem = PrefetchItem.from_parent(
        parent, name=f"block-{number}::run", nodeid=nodeid, runs=item.runs, share=share
    ).declared()
    token.take_over(item, item.runs.marks_of_hooks)
    return token
