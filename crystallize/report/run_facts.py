"""What the runs of all conditions gave, as results show it: samples, seeds, digests, times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.digest import digest

T = TypeVar("T")


def facts_of(arms: Mapping[str, ConditionRuns], run: int) -> dict[str, Any]:
    """Return the fields of `ExperimentResults` that runs alone tell.

    Parameters
    ----------
    arms : mapping of str to ConditionRuns
        The conditions that there are runs of.
    run : int
        How many replicates were run.
    """
    return {
        "condition_runs": sum(arm.records.present for arm in arms.values()),
        "cached": cached_runs(arms.values()),
        "seconds": {name: seconds_of(arm) for name, arm in arms.items()},
        "digests": MadeWhenRead(arms, lambda name: digest(filter(None, arms[name].records))),
        "seeds": _seeds(arms, run),
        "samples": _samples(arms),
        "measured": tuple(sorted(frozenset().union(*(arm.measured for arm in arms.values())))),
    }


def seconds_of(arm: ConditionRuns) -> float:
    """Return the time that the runs of a condition took which were not stored."""
    return arm.records.seconds(cached=False)


def cached_runs(arms: Iterable[ConditionRuns]) -> int:
    """Return how many runs an earlier session had stored."""
    return sum(times for arm in arms for one, times in arm.records.kinds() if one.cached)


def _seeds(arms: Mapping[str, ConditionRuns], run: int) -> tuple[int | None, ...]:
    """Return the seed of each replicate; all conditions share them."""
    seeds: list[int | None] = [None] * run
    for arm in arms.values():
        if None not in seeds:
            break
        seeds = [now if now is not None else then for now, then in zip(seeds, arm.seeds, strict=True)]
    return tuple(seeds)


def _samples(arms: Mapping[str, ConditionRuns]) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    names = dict.fromkeys(metric for arm in arms.values() for metric in arm.names)

    def of_metric(metric: str) -> Mapping[str, Sequence[Any]]:
        having = [name for name, arm in arms.items() if metric in arm.names]
        return MadeWhenRead(having, lambda name: _sample(arms[name], metric))

    return MadeWhenRead(names, of_metric)


def _sample(arm: ConditionRuns, metric: str) -> list[Any]:
    """Return the values of a metric by replicate; None where there is none."""
    (values,) = arm.sample([metric]).values()
    for replicate in arm.without(metric):
        values[replicate] = None
    return values


class MadeWhenRead(Mapping[str, T]):
    """A mapping whose values are made each time they are read, since together they would be large.

    Parameters
    ----------
    keys : iterable of str
        In order.
    make : callable
        Returns the value of a key.
    """

    def __init__(self, keys: Iterable[str], make: Callable[[str], T]) -> None:
        self._keys = dict.fromkeys(keys)
        self._make = make

    def __getitem__(self, key: str) -> T:
        if key not in self._keys:
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
