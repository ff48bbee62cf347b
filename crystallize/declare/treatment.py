"""Treatments: named changes of the context."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, SupportsIndex, overload

from crystallize.context.context import FrozenContext, frozen_mapping
from crystallize.declare.artifact import artifacts_in
from crystallize.declare.datasource import DataSource, DataSourceFactory
from crystallize.declare.decorated import NamedByFunction, named_by
from crystallize.errors import ContextValueError, DefinitionError
from crystallize.text.keywords import checked_keywords

BASELINE = "baseline"
"""Name of the condition without treatment."""

Change = Mapping[str, Any] | DataSource | DataSourceFactory | Callable[[FrozenContext], Any]


class Treatment(NamedByFunction):
    """A named change of the context, made before the data are fetched.

    Parameters
    ----------
    name : str
        Its name in results and reports; ``"baseline"`` is taken.
    apply : mapping, callable or DataSource
        Keys to add; or a function that is given the context and adds keys; or a data source (also its
        un-called factory), from which the condition fetches in place of the experiment's.
    apply_fn : callable, optional
        Another spelling of `apply`.
    optional : iterable of str
        Keys that nothing need read. Another key that no run reads is taken for a slip: what is claimed of
        the treatment is then invalid.

    Attributes
    ----------
    source : DataSource or None
        What the condition fetches from, if not from the experiment's data source.

    Raises
    ------
    DefinitionError
        If the name is empty or ``"baseline"``, there is not exactly one change, or an optional key is not
        among those that are added.

    Examples
    --------
    >>> Treatment("deep", {"depth": 8})
    Treatment('deep', {'depth': 8})
    """

    @checked_keywords
    def __init__(
        self,
        name: str,
        apply: Change | None = None,
        *,
        apply_fn: Callable[[FrozenContext], Any] | None = None,
        optional: Iterable[str] = (),
    ) -> None:
        _check_name(name)
        if (apply is None) == (apply_fn is None):
            given = "neither" if apply is None else "both"
            raise DefinitionError(
                f"treatment {name!r} needs one change, as apply= or apply_fn=; {given} given"
            )
        change = apply if apply_fn is None else apply_fn
        self.name = name
        self.payload: dict[str, Any] | None = None
        self.function: Callable[[FrozenContext], Any] | None = None
        self.source: DataSource | None = None
        if isinstance(change, Mapping):
            self.payload = frozen_mapping(change)
        elif isinstance(change, DataSource | DataSourceFactory):
            self.source = change()
            for artifact in artifacts_in(self.source):
                raise DefinitionError(
                    f"treatment {name!r} fetches artifact {artifact.name!r}; only the data source of the "
                    "experiment itself can read what another experiment writes"
                )
        elif callable(change):
            self.function = change
        else:
            raise DefinitionError(
                f"treatment {name!r} changes the context by {change!r}; give a mapping of keys to add, a "
                "function of the context, or a data source"
            )
        self.optional = self._checked_optional(optional)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> list[Treatment]:
        """Return the treatments that a file declares, in its order.

        Parameters
        ----------
        path : path
            Of a YAML (extra ``yaml``), TOML or JSON file, relative to the file of the code that calls this.
            It maps the name of each treatment to the keys that it adds.

        Raises
        ------
        DefinitionError
            If the file can't be read, or declares something else, or something twice.
        MissingExtraError
            If it is a YAML file, and PyYAML is not installed.
        """
        return list(treatments_of_file(path))

    def _checked_optional(self, optional: Iterable[str]) -> frozenset[str]:
        listed = isinstance(optional, Iterable) and not isinstance(optional, str | bytes)
        keys = tuple(optional) if listed else ()
        if not listed or not all(isinstance(key, str) for key in keys):
            raise DefinitionError(
                f"treatment {self.name!r} has optional={optional!r}; give the keys that nothing need read, "
                "as in optional={'retries'}"
            )
        unknown = [] if self.payload is None else [key for key in keys if key not in self.payload]
        if unknown:
            sets = ", ".join(map(repr, self.payload or ())) or "nothing"
            raise DefinitionError(
                f"treatment {self.name!r} has optional key {unknown[0]!r}, which it does not set; it sets "
                f"{sets}"
            )
        return frozenset(keys)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle a treatment by name where its function's name holds it, as that of a decorated one does."""
        return named_by(self, self.function) or super().__reduce_ex__(protocol)

    def reduce_by_value(self) -> str | tuple[Any, ...]:
        """Return what makes it again where the module of its function is another one."""
        return super().__reduce_ex__(4)

    @property
    def change(self) -> Change:
        """Change that the treatment makes: keys to add, a function of the context, or the data source."""
        return next(c for c in (self.payload, self.function, self.source, {}) if c is not None)

    def without_source(self) -> Treatment:
        """Return the treatment without its data source, for data that are given."""
        if self.source is None:
            return self
        changed = copy.copy(self)
        changed.source = None
        return changed

    def __call__(self) -> Treatment:
        """Return the treatment itself, so that it may be written with or without parentheses."""
        return self

    def apply(self, ctx: FrozenContext) -> None:
        """Add the treatment's keys to the context.

        Raises
        ------
        ContextMutationError
            If a key is there already.
        DefinitionError
            If the treatment's function returns something: it may be meant to have an effect, and has none.
        """
        if self.function is not None:
            returned = self.function(ctx)
            if returned is not None and returned is not ctx:
                raise DefinitionError(
                    f"the function of treatment {self.name!r} returned {returned!r}, which has no effect; it "
                    "adds keys with ctx.add(key, value) and returns nothing (to have it replace the data "
                    "source, decorate it with @data_source)"
                )
            return
        for key, value in (self.payload or {}).items():
            ctx.add(key, value)

    def __repr__(self) -> str:
        return f"Treatment({self.name!r}, {self.change!r})"


Treatments = Treatment | Iterable[Treatment] | Mapping[str, Change] | str | PathLike[str]
"""What stands for the treatments of an experiment: one, several, a mapping of names to changes, or a file."""


def _check_name(name: object) -> None:
    """Raise `DefinitionError` if something can't be the name of a treatment."""
    if not isinstance(name, str) or not name.strip():
        raise DefinitionError(
            f"a treatment is named {name!r}; a name is a non-empty string, as in Treatment('deep', ...)"
        )
    if name == BASELINE:
        raise DefinitionError(
            "a treatment can't be named 'baseline': that is the condition without treatment"
        )


def treatments_of_file(path: str | PathLike[str], beside: Path | None = None) -> tuple[Treatment, ...]:
    """Return the treatments that a file declares; see `changes_of_file`."""
    from crystallize.declare.arms import changes_of_file  # parsers, which few need

    file, changes = changes_of_file(path, beside)
    try:
        return tuple(Treatment(name, change) for name, change in changes.items())
    except (DefinitionError, ContextValueError) as error:
        raise DefinitionError(f"{file}, {error}") from None


@overload
def treatment(name: str, apply: Change, *, optional: Iterable[str] = ...) -> Treatment: ...
@overload
def treatment(
    name: str, *, optional: Iterable[str] = ...
) -> Callable[[Callable[[FrozenContext], Any]], Treatment]: ...
def treatment(name: str, apply: Change | None = None, *, optional: Iterable[str] = ()) -> Any:
    """Make a treatment of a mapping, or, as a decorator, of a function of the context; see `Treatment`.

    Parameters
    ----------
    name, apply, optional
        As for `Treatment`; without `apply` it decorates a function that makes the change.

    Examples
    --------
    >>> boost = treatment("boost", {"delta": 10.0})
    >>> @treatment("dynamic")
    ... def dynamic(ctx):
    ...     ctx.add("delta", ctx.get("scale", 1) * 2)
    >>> boost.name, dynamic.name
    ('boost', 'dynamic')
    """
    if apply is not None:
        return Treatment(name, apply, optional=optional)
    _check_name(name)
    return lambda function: Treatment(name, function, optional=optional)
