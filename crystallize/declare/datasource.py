"""Where the data of a condition run come from."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, overload

from crystallize.context.context import FrozenContext, journal_of
from crystallize.context.freezing import freeze, thaw
from crystallize.context.seeding import INPUT
from crystallize.declare.awaiting import is_async, outside_loop, settled
from crystallize.declare.decorated import Declared
from crystallize.declare.functions import Given, Parameters
from crystallize.errors import DefinitionError


class DataSource(ABC):
    """Base of data sources; the data that enter a pipeline are fetched once per condition run.

    Subclass it and define `fetch`, or decorate a function with `data_source`.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> class Numbers(DataSource):
    ...     def __init__(self, size):
    ...         self.size = size
    ...     def fetch(self, ctx):
    ...         return ctx.rng.integers(10, size=self.size)
    >>> @pipeline_step()
    ... def total(data):
    ...     return data, {"total": int(data.sum())}
    >>> Experiment(Numbers(4), [total], replicates=2).run().metrics.baseline["total"]
    [22, 23]
    """

    @property
    def name(self) -> str:
        """Name in traces and errors; the class's by default."""
        return type(self).__name__

    @property
    def params(self) -> dict[str, Any]:
        """Explicit parameters, shown in the provenance; the public attributes by default."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    @property
    def parts(self) -> tuple[DataSource, ...]:
        """The data sources that this one fetches from."""
        return ()

    @property
    def is_async(self) -> bool:
        """Whether `fetch` has to be awaited."""
        return is_async(type(self).fetch)

    @abstractmethod
    def fetch(self, ctx: FrozenContext) -> Any:
        """Return the data; deterministic given the context and its seed. May be ``async def``."""

    def __call__(self) -> DataSource:
        """Return the data source itself, so that it may be written with or without parentheses."""
        return self


class FunctionSource(Given, DataSource):
    """A data source made of a function and parameters, of which every run is given copies."""

    def fetch(self, ctx: FrozenContext) -> Any:
        """Call the function."""
        factory = self.factory
        function, parameters = factory.function, factory.parameters
        if not (self.frozen or parameters.defaults):  # the shortest way: this is called for every run
            return function(ctx) if parameters.takes_ctx else function()
        filled = parameters.fill(self.params if self.frozen else {}, ctx)
        return function(ctx, **filled) if parameters.takes_ctx else function(**filled)


class ConstantSource(DataSource):
    """A value; every condition run gets a copy of its own (of a numpy array, a read-only view)."""

    def __init__(self, value: Any) -> None:
        try:
            self._value = freeze(value)
        except TypeError as error:
            raise DefinitionError(
                f"the data source can't be a constant: {error}; give a function of the context that makes it"
            ) from error

    @property
    def name(self) -> str:
        """Name that says that it is a constant."""
        return "constant"

    def fetch(self, ctx: FrozenContext) -> Any:
        """Return the value."""
        return thaw(self._value)


class GivenSource(DataSource):
    """Data that are given for one pass, as they are."""

    def __init__(self, data: Any) -> None:
        self._data = data

    @property
    def name(self) -> str:
        """Name that says that they were given."""
        return "given data"

    def fetch(self, ctx: FrozenContext) -> Any:
        """Return the data."""
        return self._data


class DataSourceFactory(Declared):
    """Factory of a `DataSource`, called with its parameters; made by `data_source`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.parameters = Parameters(function, ("ctx",), "data source")
        self.is_async = is_async(function)

    def __call__(self, **params: Any) -> FunctionSource:
        """Return the data source with these parameters fixed."""
        self.parameters.check(params)
        return FunctionSource(self, params)


@overload
def data_source(function: Callable[..., Any], /) -> DataSourceFactory: ...
@overload
def data_source() -> Callable[[Callable[..., Any]], DataSourceFactory]: ...
def data_source(function: Callable[..., Any] | None = None, /) -> Any:
    """Make a data source of a function of the context, or of nothing; with and without parentheses.

    Parameters behind the context are given when the source is made, or filled from the context, or have
    defaults. The function may be ``async def``; see `AsyncExecution`.

    Parameters
    ----------
    function : callable
        The function, if it is decorated without parentheses.

    Examples
    --------
    >>> @data_source
    ... def numbers(ctx, *, n=3):
    ...     return [0] * n
    >>> numbers(n=2).fetch(FrozenContext())
    [0, 0]
    """
    return DataSourceFactory if function is None else DataSourceFactory(function)


class ExperimentInput(DataSource):
    """Named data sources, fetched into a dictionary.

    Parameters
    ----------
    **sources
        Data sources by name; also un-called factories, functions of the context, or constants. Each has
        random numbers of its own, which depend on its name and not on the others.

    Raises
    ------
    DefinitionError
        If there is no source.

    Examples
    --------
    >>> @data_source
    ... def numbers(ctx):
    ...     return [1, 2]
    >>> ExperimentInput(raw=numbers, scale=3).fetch(FrozenContext())
    {'raw': [1, 2], 'scale': 3}
    """

    def __init__(self, **sources: Any) -> None:
        if not sources:
            raise DefinitionError("an ExperimentInput needs a source; give one by name, as in raw=...")
        self._sources = {name: as_data_source(source) for name, source in sources.items()}

    @property
    def params(self) -> dict[str, Any]:
        """The name of each source."""
        return {name: source.name for name, source in self._sources.items()}

    @property
    def parts(self) -> tuple[DataSource, ...]:
        """The sources, in order."""
        return tuple(self._sources.values())

    @property
    def is_async(self) -> bool:
        """Whether one of the sources is."""
        return any(source.is_async for source in self._sources.values())

    def fetch(self, ctx: FrozenContext) -> Any:
        """Fetch each source, one after the other; to be awaited if one of them is."""
        if self.is_async:
            return self._afetch(ctx)
        return {name: source.fetch(ctx) for name, source in self._entered(ctx)}

    async def _afetch(self, ctx: FrozenContext) -> dict[str, Any]:
        fetched = {}
        for name, source in self._entered(ctx):
            with outside_loop():
                waiting = source.fetch(ctx)
            fetched[name] = await settled(waiting)
        return fetched

    def _entered(self, ctx: FrozenContext) -> Iterator[tuple[str, DataSource]]:
        """Yield each source, when what follows is traced under its name."""
        journal = journal_of(ctx)
        outer = journal.scope.name
        for name, source in self._sources.items():
            scope = f"{outer}.{name}"
            journal.enter(scope, INPUT + zlib.crc32(scope.encode(errors="surrogatepass")))
            yield name, source


def as_data_source(value: Any) -> DataSource:
    """Accept a source, its un-called factory or class, a function of the context, or a constant."""
    if isinstance(value, type) and issubclass(value, DataSource):
        return value()
    if isinstance(value, DataSource):
        return value
    if isinstance(value, DataSourceFactory):
        return value()
    if callable(value):
        return DataSourceFactory(value)()
    return ConstantSource(value)


def as_given_source(value: Any) -> DataSource:
    """Accept a source or its un-called factory; take anything else as the data themselves."""
    return value() if isinstance(value, DataSource | DataSourceFactory) else GivenSource(value)
