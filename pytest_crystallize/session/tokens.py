"""Tokens: silent items by which every worker of pytest-xdist has its part in an experiment's replicates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from pytest_crystallize.collect.items import HypothesisItem, PrefetchItem
from pytest_crystallize.naming.ids import checksum

PER_WORKER: Final = 32
"""Tokens of one experiment for each worker, at most."""
_FOR_WHAT_IS_LEFT: Final = 4 * PER_WORKER  # for each worker, were all that is left as short as its part
_ID = re.compile(r"::block-[0-9a-f]{8}-\d+::run\Z")


def is_token(nodeid: str) -> bool:
    """Return whether a node id is that of a token."""
    return _ID.search(nodeid) is not None


def with_tokens(items: Sequence[pytest.Item], workers: int) -> Iterator[pytest.Item]:
    """Put an experiment's tokens before its first item: the more, the less is left behind it."""
    shared = {i.runs.id: i for i in reversed(items) if isinstance(i, HypothesisItem) and _is_shared(i)}
    left = sum(item.runs.replicates for item in shared.values())
    for item in items:
        if isinstance(item, HypothesisItem) and shared.get(item.runs.id) is item:
            yield from _tokens(item, workers, left)
            left -= item.runs.replicates
        yield item


def _is_shared(item: HypothesisItem) -> bool:
    """Return whether other workers are to help: not with a group, whose replicates are to stay with it."""
    grouped = item.config.getoption("loadgroup", False) and item.get_closest_marker("xdist_group")
    return bool(item.runs.needed) and not grouped and not item.runs.on_cluster


def _tokens(item: HypothesisItem, workers: int, left: int) -> Iterator[PrefetchItem]:
    """Yield the tokens of an experiment; `left` are the replicates from its first on, in all experiments.

    Where many experiments follow, workers find enough to run without sharing each of them.
    """
    replicates = item.runs.replicates
    part = -(-replicates * _FOR_WHAT_IS_LEFT * workers // left) if left else 0
    count = min(replicates, PER_WORKER * workers, part)
    parent, place = item.parent, checksum(item.runs.id)
    assert parent is not None
    for number in range(count):
        name = f"block-{number}::run"
        nodeid = f"{parent.nodeid}::block-{place:08x}-{number}::run"
        yield PrefetchItem.from_parent(
            parent, name=name, nodeid=nodeid, runs=item.runs, share=-(-replicates // count)
        )
