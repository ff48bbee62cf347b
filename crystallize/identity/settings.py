"""Settings of the process: those that are known by name, and those that packages set and get in pairs."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Final

from crystallize.boundary import check_failure

_SCALARS: Final = (bool, int, float, complex, str, bytes, decimal.Context, type(None))
_ASKING: Final = ("get", "is")
_NOT_SET: Final = ("state", "seed", "rng", "trace", "profile", "event_loop", "start_method")
"""What names contain that set what moves by itself, what tools set, or what is made when it is asked for."""


@dataclass(frozen=True)
class Setting:
    """Setting of the process that can be looked at and put back."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]


def shown(value: object, depth: int = 3) -> str:
    """Return what tells a value from others, within a process; what a list holds twice it holds."""
    if isinstance(value, _SCALARS):
        return repr(value)
    kind = type(value).__qualname__
    if depth and isinstance(value, dict):
        pairs = (f"{shown(key, 0)}: {shown(item, depth - 1)}" for key, item in dict.items(value))
        return f"{kind} {{{', '.join(pairs)}}}"
    if depth and isinstance(value, list):
        return f"{kind} [{', '.join(dict.fromkeys(shown(item, depth - 1) for item in value))}]"
    if depth and isinstance(value, tuple):
        return f"{kind} ({', '.join(shown(item, depth - 1) for item in value)})"
    if depth and isinstance(value, set | frozenset):
        return f"{kind} {{{', '.join(sorted(shown(item, 0) for item in value))}}}"
    return f"{kind} {id(value)}"


def _asked(module: str, name: str, **keywords: Any) -> Any:
    """Return what a function of a module returns, without arguments; None if the module is not loaded."""
    loaded = sys.modules.get(module)
    return None if loaded is None else getattr(loaded, name)(**keywords)


def _tell(module: str, name: str, *args: Any, **keywords: Any) -> None:
    """Call a function of a module with what it was told before, if the module was loaded by then."""
    loaded = sys.modules.get(module)
    if loaded is not None and (args or keywords):
        getattr(loaded, name)(*args, **keywords)


def _known(old: Any) -> list[Any]:
    """Return what a module said of a setting; nothing if it was not loaded."""
    return [] if old is None else [old]


def _variable(module: str, name: str) -> Any:
    """Return a variable of a module; None if the module is not loaded."""
    return getattr(sys.modules.get(module), name, None)


def _contents(module: str, name: str) -> dict[Any, Any]:
    """Return a copy of a dictionary of a module; an empty one if the module is not loaded."""
    return dict(_variable(module, name) or {})


def _refill(module: str, name: str, old: dict[Any, Any]) -> dict[Any, Any]:
    """Have a dictionary of a module hold what it held before, if the module was loaded by then."""
    held: dict[Any, Any] = _variable(module, name) or {}
    if old:
        held.clear()
        held.update(old)
    return held


def _handlers() -> dict[int, Any]:
    """Return what handles each signal, but the alarm, by which plugins time tests out."""
    asked = sys.modules.get("signal")
    if asked is None or threading.current_thread() is not threading.main_thread():
        return {}  # another thread may not put them back
    alarm = getattr(asked, "SIGALRM", None)
    return {int(one): asked.getsignal(one) for one in asked.valid_signals() if one != alarm}


def _set_handlers(before: dict[int, Any]) -> None:
    now = _handlers()
    for number, handler in before.items():
        if number in now and now[number] is not handler and handler is not None:
            sys.modules["signal"].signal(number, handler)


def _dialects() -> dict[str, dict[str, Any]]:
    csv = sys.modules.get("csv")
    known = {} if csv is None else {name: csv.get_dialect(name) for name in csv.list_dialects()}
    return {name: {part: getattr(said, part) for part in _OF_DIALECTS} for name, said in known.items()}


def _set_dialects(before: dict[str, dict[str, Any]]) -> None:
    for name in _dialects():
        sys.modules["csv"].unregister_dialect(name)
    for name, dialect in before.items():
        sys.modules["csv"].register_dialect(name, **dialect)


def _filters() -> dict[str, tuple[list[Any], list[Any]]]:
    """Return filters and handlers of loggers; pytest changes those of the first logger itself."""
    known = logging.Logger.manager.loggerDict
    loggers = {name: found for name, found in known.items() if isinstance(found, logging.Logger)}
    said = {name: (list(found.filters), list(found.handlers)) for name, found in loggers.items()}
    return {name: found for name, found in said.items() if any(found)}


def _set_filters(before: dict[str, tuple[list[Any], list[Any]]]) -> None:
    for name in {**before, **_filters()}:
        logger = logging.getLogger(name)
        logger.filters[:], logger.handlers[:] = before.get(name, ([], []))


def _set_loggers(before: dict[str, tuple[int, bool, bool]]) -> None:
    for name in {**before, **_loggers()}:
        logger = logging.getLogger(name)
        level, logger.propagate, logger.disabled = before.get(name, _UNTOUCHED)
        logger.setLevel(level)


def _loggers() -> dict[str, tuple[int, bool, bool]]:
    known: dict[str, Any] = {"": logging.root, **logging.Logger.manager.loggerDict}
    loggers = {name: found for name, found in known.items() if isinstance(found, logging.Logger)}
    said = {name: (found.level, found.propagate, found.disabled) for name, found in loggers.items()}
    return {name: found for name, found in said.items() if found != _UNTOUCHED}


_UNTOUCHED: Final = 0, True, False


def _zone() -> tuple[str | None, tuple[str, str], int]:
    return os.environ.get("TZ"), time.tzname, time.timezone


def _set_zone(before: tuple[str | None, tuple[str, str], int]) -> None:
    put_variable("TZ", before[0])
    if hasattr(time, "tzset"):
        time.tzset()


def put_variable(name: str, value: str | None) -> None:
    """Set a variable of the environment, or take it out."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _of_pandas() -> dict[str, Any]:
    """Return the options of pandas by their full names."""
    options = getattr(sys.modules.get("pandas"), "options", None)
    return dict(_leaves(getattr(options, "d", {}), ""))


def _leaves(options: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def _set_pandas(before: dict[str, Any]) -> None:
    now = _of_pandas()
    for name, value in before.items():
        if shown(now.get(name)) != shown(value):
            sys.modules["pandas"].set_option(name, value)


CONTEXT: Final = Setting(
    "decimal's context",
    lambda: decimal.getcontext().copy(),
    lambda old: decimal.setcontext(old.copy()),  # or runs would change what is to be put back
)
LOGGERS: Final = Setting("levels of loggers", _loggers, _set_loggers)
OF_PANDAS: Final = Setting("options of pandas", _of_pandas, _set_pandas)
_OF_DIALECTS: Final = (
    *("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting"),
    *("skipinitialspace", "strict"),
)
_OF_LEVELS: Final = "_levelToName", "_nameToLevel"
_FILTERS: Final = Setting("filters and handlers of loggers", _filters, _set_filters)
_DIALECTS: Final = Setting("dialects of csv", _dialects, _set_dialects)
_GRADIENTS: Final = Setting(
    "whether torch follows gradients",
    lambda: _asked("torch", "is_grad_enabled"),
    lambda old: _tell("torch", "set_grad_enabled", *_known(old)),
)
_COLLECTING: Final = Setting(
    "whether garbage is collected", gc.isenabled, lambda old: gc.enable() if old else gc.disable()
)
_DISABLED: Final = Setting(
    "disabled levels of the log", lambda: logging.root.manager.disable, logging.disable
)

SETTINGS: Final[dict[str, tuple[Setting, ...]]] = {
    "setcontext": (CONTEXT,),
    "setLevel": (LOGGERS,),
    "dictConfig": (LOGGERS,),
    "fileConfig": (LOGGERS,),
    "disable": (_DISABLED, _COLLECTING),
    "enable": (_COLLECTING,),
    "set_option": (OF_PANDAS,),
    "seterr": (
        Setting(
            "numpy's handling of errors",
            lambda: _asked("numpy", "geterr"),
            lambda old: _tell("numpy", "seterr", **old or {}),
        ),
    ),
    "set_printoptions": (
        Setting(
            "numpy's print options",
            lambda: _asked("numpy", "get_printoptions"),
            lambda old: _tell("numpy", "set_printoptions", **old or {}),
        ),
    ),
    "setlocale": (
        Setting(
            "the locale",
            lambda: locale.setlocale(locale.LC_ALL),
            lambda old: locale.setlocale(locale.LC_ALL, old),
        ),
    ),
    "copyreg": (
        Setting(
            "ways of pickling",
            lambda: _contents("copyreg", "dispatch_table"),
            lambda old: _refill("copyreg", "dispatch_table", old),
        ),
    ),
    "signal": (Setting("handlers of signals", _handlers, _set_handlers),),
    "set_event_loop_policy": (
        Setting(
            "the policy of event loops",
            lambda: _variable("asyncio.events", "_event_loop_policy"),  # to ask for one makes it
            lambda old: _tell("asyncio", "set_event_loop_policy", old),
        ),
    ),
    "set_start_method": (
        Setting(
            "how processes are started",
            lambda: _asked("multiprocessing", "get_start_method", allow_none=True),
            lambda old: _tell("multiprocessing", "set_start_method", old, force=True),
        ),
    ),
    "register_dialect": (_DIALECTS,),
    "unregister_dialect": (_DIALECTS,),
    "addLevelName": (
        Setting(
            "names of levels",
            lambda: [_contents("logging", name) for name in _OF_LEVELS],
            lambda old: [_refill("logging", *pair) for pair in zip(_OF_LEVELS, old, strict=True)],
        ),
    ),
    **dict.fromkeys(("addFilter", "removeFilter", "addHandler", "removeHandler"), (_FILTERS,)),
    "basicConfig": (LOGGERS,),
    "use_deterministic_algorithms": (
        Setting(
            "whether torch is deterministic",
            lambda: _asked("torch", "are_deterministic_algorithms_enabled"),
            lambda old: _tell("torch", "use_deterministic_algorithms", *_known(old)),
        ),
    ),
    **dict.fromkeys(("no_grad", "enable_grad", "inference_mode"), (_GRADIENTS,)),
    "chdir": (Setting("the current directory", os.getcwd, os.chdir),),
    "tzset": (Setting("the time zone", _zone, _set_zone),),
    "set_threshold": (
        Setting("thresholds of garbage collection", gc.get_threshold, lambda old: gc.set_threshold(*old)),
    ),
    "setrecursionlimit": (Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),),
    "set_int_max_str_digits": (
        Setting("the most digits of a number", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    ),
    "setdefaulttimeout": (
        Setting(
            "the timeout of sockets",
            lambda: _asked("socket", "getdefaulttimeout"),
            lambda old: _tell("socket", "setdefaulttimeout", old),
        ),
    ),
    "stack_size": (
        Setting(
            "the stack size of threads",
            lambda: _asked("threading", "stack_size"),
            lambda old: _tell("threading", "stack_size", old),
        ),
    ),
    "field_size_limit": (
        Setting(
            "the longest field of csv",
            lambda: _asked("csv", "field_size_limit"),
            lambda old: _tell("csv", "field_size_limit", *[old] if old else []),
        ),
    ),
}
"""Name of what sets something -> what that may be."""


@lru_cache(maxsize=1000)
def set_by(module: str, name: str) -> Setting | None:
    """Return what a function of an installed module sets, if another one, called without arguments, tells it.

    These are named alike: ``set_config`` and ``get_config``, ``setswitchinterval`` and ``getswitchinterval``.

    Parameters
    ----------
    module : str
        Of the function.
    name : str
        Of the function, with ``set`` at its beginning.
    """
    loaded = sys.modules.get(module)
    if not isinstance(loaded, ModuleType) or any(word in name.lower() for word in _NOT_SET):
        return None
    names = vars(loaded)
    for asking in _ASKING:
        get = names.get(asking + name.removeprefix("set"))
        if callable(get) and callable(names.get(name)):
            with suppress(_Unsteady):
                return Setting(f"{module}.{name}", _steady(get), _putting(names[name], get))
    return None


class _Unsteady(Exception):
    """Says that what a function returns is no setting."""


def _steady(get: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that tells a setting, which it does alike if it is called twice."""
    try:
        found, again = get(), get()
    except BaseException as error:
        check_failure(error)
        raise _Unsteady from error
    if shown(found) != shown(again):
        raise _Unsteady
    return get


def _putting(put: Callable[..., Any], get: Callable[[], Any]) -> Callable[[Any], None]:
    """Return a function that puts a setting back: with keywords, as one value, or as several."""

    def put_back(value: Any) -> None:
        ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((value,), {})]
        if isinstance(value, dict):
            ways.insert(0, ((), value))
        elif isinstance(value, tuple):
            ways.append((value, {}))
        for args, keywords in ways:
            try:
                put(*args, **keywords)
            except BaseException as error:
                check_failure(error)
            else:
                if shown(get()) == shown(value):
                    return

    return put_back
