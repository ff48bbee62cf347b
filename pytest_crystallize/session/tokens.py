"""Tokens: silent items by which every worker of pytest-xdist has its part in an experiment's replicates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest

from pytest_crystallize.collect.items import HypothesisItem, PrefetchItem
from pytest_crystallize.naming.ids import checksum

PER_WORKER = 32
_ID = re.compile(r"::block-[0-9a-f]{8}-\d+::run\Z")


def is_token(nodeid: str) -> bool:
    """Return whether a node id is that of a token."""
    return _ID.search(nodeid) is not None


def with_tokens(items: Sequence[pytest.Item], workers: int) -> Iterator[pytest.Item]:
    """Put an experiment's tokens before its first item."""
    seen: set[str] = set()
    for item in items:
        if isinstance(item, HypothesisItem) and _is_shared(item) and item.runs.id not in seen:
            seen.add(item.runs.id)
            yield from _tokens(item, workers)
        yield item


def _is_shared(item: HypothesisItem) -> bool:
    """Return whether other workers are to help: not with a group, whose replicates are to stay with it."""
    grouped = item.config.getoption("loadgroup", False) and item.get_closest_marker("xdist_group")
    return bool(item.runs.needed) and not grouped and not item.runs.on_cluster


def _tokens(item: HypothesisItem, workers: int) -> Iterator[PrefetchItem]:
    replicates = item.runs.replicates
    count = min(replicates, PER_WORKER * workers)
    parent, place = item.parent, checksum(item.runs.id)
    assert parent is not None
    for number in range(count):
        name = f"block-{number}::run"
        nodeid = f"{parent.nodeid}::block-{place:08x}-{number}::run"
        yield PrefetchItem.from_parent(
            parent, name=name, nodeid=nodeid, runs=item.runs, share=-(-replicates // count)
        )
