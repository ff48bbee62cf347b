"""What there is to try: values by context key, drawing from them, names of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from crystallize.context.freezing import summarize
from crystallize.errors import DefinitionError

_LONGEST_NAME = 60


def checked_batch_size(batch_size: object) -> int | None:
    """Return how many treatments to evaluate in one run, None for all, or raise `DefinitionError`."""
    if batch_size is None:
        return None
    batch_size = plain(batch_size)
    if type(batch_size) is not int or batch_size < 1:
        raise DefinitionError(f"batch_size is {batch_size!r}; give an integer >= 1")
    return batch_size


def checked_space(label: str, space: object) -> Mapping[str, Any]:
    """Return a mapping from context keys to what to try, or raise `DefinitionError`."""
    if not isinstance(space, Mapping) or not space:
        raise DefinitionError(f"{label} is {space!r}; give a mapping from context keys to what to try")
    for key in space:
        if not isinstance(key, str):
            raise DefinitionError(f"{label} has key {key!r}; keys of the context are strings")
    return space


def choices_of(key: str, values: Any) -> tuple[Any, ...]:
    """Return the values to try of one key, or raise `DefinitionError`."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise DefinitionError(f"key {key!r} has values {values!r}; give a list of the values to try")
    if isinstance(values, set | frozenset) and len(values) > 1:
        raise DefinitionError(
            f"key {key!r} has values {values!r}, which have another order in every process, and with it "
            "every search; give a list"
        )
    choices = tuple(values.tolist() if isinstance(values, np.ndarray) else values)
    if not choices:
        raise DefinitionError(f"key {key!r} has no values to try; give a list of at least one")
    return choices


def drawing(key: str, source: Any) -> Callable[[np.random.Generator], Any]:
    """Return a function that draws from what a space says of one key."""
    if hasattr(source, "rvs"):
        return lambda rng: source.rvs(random_state=rng)
    if hasattr(source, "sample") and hasattr(source, "support"):  # scipy's newer distributions
        return lambda rng: source.sample(rng=rng)
    if callable(source):
        return lambda rng: source(rng)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes | Mapping):
        choices = choices_of(key, source)
        return lambda rng: choices[rng.integers(len(choices))]
    raise DefinitionError(
        f"key {key!r} can't be drawn from {source!r}; give a list, a distribution of scipy.stats, or a "
        "function of a numpy Generator such as lambda rng: rng.normal(0.0, 2.0)"
    )


def plain(value: Any) -> Any:
    """Turn numpy scalars and arrays of one value into Python values."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


class TrialNames:
    """Names of trials: they show the parameters where these are short, and no two are alike."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()

    def of(self, number: int, parameters: Mapping[str, Any]) -> str:
        """Return the name of trial `number`, the same every time."""
        if number not in self._names:
            name = ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())
            if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
                name = f"trial_{number}"
            elif name in self._taken:
                name = f"{name} #{number}"
            self._taken.add(name)
            self._names[number] = name
        return self._names[number]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return str(summarize(value))
