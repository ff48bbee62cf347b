"""The decorator of functions that answer from elsewhere."""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from crystallize.boundary import with_frames
from crystallize.calls.arguments import DATA
from crystallize.calls.keeping import Mode, checked_mode
from crystallize.errors import DefinitionError

if TYPE_CHECKING:
    from crystallize.calls.declared import Remote

F = TypeVar("F", bound=Callable[..., Any])
Passing = Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...]

_BETWEEN: Final = ("crystallize.calls.", "tenacity", "concurrent.futures", "contextlib")
_declared: Final[dict[tuple[str, str], weakref.ref[Any]]] = {}


def remote(
    *,
    key: str,
    concurrency: int = 50,
    retries: int = 5,
    timeout: float | None = 60.0,
    seed: bool = True,
    requests_per_minute: float | None = None,
    cassette: str | Path | None = None,
    redact: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    retry_on: Passing | None = None,
    ignore: Collection[str] | None = None,
    mode: Mode | None = None,
) -> Callable[[F], F]:
    """Declare a function whose replies come from elsewhere, and are kept: a model, an agent, a judge, a tool.

    A reply is kept as soon as it comes, under `key`, the function's name, its arguments by value, and the
    seed of the run. It is not kept under code or versions of packages: whatever is edited, a call that was
    made is not made again, until its arguments or `key` change. A run that makes such calls is stored as
    others are.

    What the function returns is JSON (dict, list, str, int, finite float, bool, None), bytes, or a pydantic
    model, of which `model_dump(mode="json")` is kept. The caller is given what is kept, on the first call
    too: for a model always that dict.

    Parameters
    ----------
    key : str
        What decides replies beside the arguments, such as the version of a model.
    concurrency : int
        How many calls are under way at a time, over all processes of this machine.
    retries : int
        How often a failure that may pass is tried again, after growing waits with jitter. Where a server
        refuses for too many calls (429, ``Retry-After``), all processes pause; that is not counted, and goes
        on for ten minutes. The client's own retries are best switched off, as by ``max_retries=0``.
    timeout : float or None
        Seconds after which a try is ended.
    seed : bool
        Whether replies belong to the seed of a run, so that each replicate has its own. If not, equal calls
        of all runs share one.
    requests_per_minute : float, optional
        How many calls begin in a minute at most, evenly, over all processes of this machine.
    cassette : path, optional
        A directory, relative to the function's file, to keep replies in that are committed with the code.
    redact : callable, optional
        Is given a dict of the ``arguments`` and the ``reply`` before they are kept, and returns what may be.
        Arguments are kept in cassettes only, for who reads them.
    retry_on : callable, or exception types, optional
        Which failures may pass; by default lost connections, timeouts, and the statuses of servers that are
        busy or broken.
    ignore : collection of str, optional
        Arguments that decide nothing of a reply. By default this is ``client``, if that is no data; every
        other argument has to have a hash by value.
    mode : {"live", "replay", "refresh"}, optional
        Make calls whose replies are not kept; make none, so that a missing reply is an error; make each once
        more. What ``--crystallize-remote`` and ``CRYSTALLIZE_REMOTE`` say comes first; "live" comes last.

    Raises
    ------
    DefinitionError
        If an argument makes no sense, or replies of two functions could not be told apart.

    Examples
    --------
    >>> @remote(key="small 2026-01")
    ... async def chat(client, **request):
    ...     return await client.chat.completions.create(**request)
    """

    def decorate(function: F) -> F:
        # Loaded at need: from then on, each run says that it is under way.
        from crystallize.calls.declared import Remote

        name = getattr(function, "__qualname__", repr(function))
        if not inspect.isfunction(inspect.unwrap(function)):
            raise DefinitionError(f"remote: {name} is no function; declare one with def or async def")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise DefinitionError(f"remote: {name} yields; gather what it yields, and return that")
        if not (retry_on is None or callable(retry_on) or isinstance(retry_on, tuple)):
            raise DefinitionError(
                f"remote: {name}: retry_on is {retry_on!r:.60}; "
                "give a tuple of exception types, or a function"
            )
        _check_numbers(name, key, concurrency, retries, timeout, requests_per_minute)
        if isinstance(ignore, str):  # a collection of its letters
            raise DefinitionError(
                f"remote: {name}: ignore is the text {ignore!r}; give a tuple, as in ({ignore!r},)"
            )
        _check_enclosed(name, function)
        _check_alone(name, function, key)
        place = (
            None if cassette is None else Path(inspect.getfile(inspect.unwrap(function))).parent / cassette
        )
        declared = Remote(
            function=function,
            key=key,
            name=name,
            concurrency=concurrency,
            retries=retries,
            timeout=timeout,
            seed=bool(seed),
            interval=0.0 if requests_per_minute is None else 60.0 / requests_per_minute,
            cassette=None if place is None else str(place),
            redact=redact,
            retry_on=retry_on,
            ignore=ignore if ignore is None else frozenset(ignore),
            mode=None if mode is None else checked_mode(mode, f"remote: {name}: mode"),
        )
        declared.arguments  # noqa: B018 - refuses what ignore= can't name
        return cast("F", _wrapped(declared))

    return decorate


def _wrapped(declared: Remote) -> Callable[..., Any]:
    function = declared.function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            from crystallize.calls.endpoint import endpoint_of  # heavy, and needed where calls are made

            __tracebackhide__ = True
            try:
                return await endpoint_of(declared).acall(args, kwargs)
            except Exception as error:
                error.__traceback__ = _of_users(error.__traceback__)
                raise

        return acall

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        from crystallize.calls.endpoint import endpoint_of  # as above

        __tracebackhide__ = True
        try:
            return endpoint_of(declared).call(args, kwargs)
        except Exception as error:
            error.__traceback__ = _of_users(error.__traceback__)
            raise

    return call


def _of_users(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of what makes calls."""
    return with_frames(
        traceback, lambda entry: not entry.tb_frame.f_globals.get("__name__", "").startswith(_BETWEEN)
    )


def _check_numbers(
    name: str,
    key: object,
    concurrency: object,
    retries: object,
    timeout: float | None,
    requests_per_minute: float | None,
) -> None:
    where = f"remote: {name}:"
    if not isinstance(key, str) or not key:
        raise DefinitionError(f"{where} key is {key!r}; give a text, such as the model with its version")
    for what, number, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise DefinitionError(f"{where} {what} is {number!r}; give an integer >= {least}")
    for what, given in (("timeout", timeout), ("requests_per_minute", requests_per_minute)):
        if given is not None and not (isinstance(given, int | float) and 0 < given < float("inf")):
            raise DefinitionError(f"{where} {what} is {given!r}; give a number > 0, or None")


def _check_enclosed(name: str, function: Callable[..., Any]) -> None:
    """Refuse data that a function encloses: it may decide replies, and is in no key."""
    function = inspect.unwrap(function)
    for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # it is assigned later
            continue
        if isinstance(value, DATA):
            raise DefinitionError(
                f"remote: {name} encloses {variable!r}, {value!r:.60}, under which no reply is kept; make it "
                "an argument (which ignore= may leave out)"
            )


def _check_alone(name: str, function: Callable[..., Any], key: str) -> None:
    """Refuse a key that a function of this name has in another file: they would share replies."""
    plain = inspect.unwrap(function)
    other = _declared.get((key, name), lambda: None)()
    if other is not None and other.__code__.co_filename != plain.__code__.co_filename:
        home = sys.modules.get(other.__module__)
        if home is not None and vars(home) is other.__globals__:
            raise DefinitionError(
                f"remote: {name} in {plain.__code__.co_filename} has the key {key!r}, as {name} in "
                f"{other.__code__.co_filename} has: they would share replies; give one another name or key, "
                "or import it"
            )
    _declared[key, name] = weakref.ref(plain)
