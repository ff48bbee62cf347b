"""What the stored runs of an experiment depend on, as far as it has to be declared."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crystallize.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class Caching:
    """Dependencies of an experiment's records beside its code and its values.

    Attributes
    ----------
    inputs : tuple of str
        Files that runs read, as patterns (``*``, ``**``) relative to the root of the project: under pytest
        its rootdir, otherwise the current directory. Their content counts.
    env : tuple of str
        Environment variables that runs read.
    cache_key : str or None
        Stands for all that can't be seen or identified. With it, runs are stored that read undeclared
        files, use the network or call hooks of plugins, and they are not verified.
    repeatable : bool
        Whether a run gives the same again. Of one that can't, nothing is stored, and nothing is said of it.

    Raises
    ------
    DefinitionError
        If one of them is of another type.
    """

    inputs: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cache_key: str | None = None
    repeatable: bool = True

    def __post_init__(self) -> None:
        for name, of in (("inputs", "patterns for files, as in ['data/*.csv']"), ("env", "variables' names")):
            given = getattr(self, name)
            listed = isinstance(given, Iterable) and not isinstance(given, str | bytes)
            entries = tuple(os.fspath(e) if isinstance(e, Path) else e for e in given) if listed else ()
            if not listed or not all(isinstance(entry, str) and entry for entry in entries):
                raise DefinitionError(f"{name} is {given!r}; give a list of {of}")
            object.__setattr__(self, name, entries)
        if self.cache_key is not None and (not isinstance(self.cache_key, str) or not self.cache_key):
            raise DefinitionError(f"cache_key is {self.cache_key!r}; give a string that is not empty")
        if not isinstance(self.repeatable, bool):
            raise DefinitionError(f"repeatable is {self.repeatable!r}; give True or False")
