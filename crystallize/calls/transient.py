"""Which failures of a call may pass, and how long to wait for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from email.utils import parsedate_to_datetime
from typing import Any, Final

from crystallize.errors import MissingExtraError

_STATUS: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED: Final = frozenset({429, 529})
_CONNECTIONS: Final = frozenset(
    {
        "APIConnectionError",  # openai, anthropic
        "TransportError",  # httpx
        "ClientConnectionError",  # aiohttp
        "ServerTimeoutError",
        "HTTPClientError",  # botocore
        "ServiceUnavailable",  # google
    }
)
_PERMANENT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_LOST: Final = ConnectionError, TimeoutError
_FIRST: Final = 0.5  # seconds of the first wait
_LONGEST: Final = 60.0
PATIENCE: Final = 600.0
"""Seconds for which a call is refused before it is given up."""

_JITTER: Final = random.SystemRandom()
"""No run's: its generators are those of `random` and numpy."""


def is_transient(error: BaseException) -> bool:
    """Return whether a failure may pass: a lost connection, a timeout, a busy or broken server.

    Known by the status of a reply, and by the classes of the usual clients, none of which is imported.
    """
    if (status := _status(error)) is not None:
        return status in _STATUS and getattr(error, "code", None) not in _PERMANENT
    reason = getattr(error, "reason", None)  # of urllib
    if isinstance(error, _LOST) or isinstance(reason, _LOST):
        return True
    return any(kind.__name__ in _CONNECTIONS for kind in type(error).__mro__)


def is_refusal(error: BaseException) -> bool:
    """Return whether a server asks for fewer calls."""
    return _status(error) in _REFUSED or retry_after(error) is not None


def retry_after(error: BaseException) -> float | None:
    """Return for how many seconds a server asks not to be called, if it does."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None)
    headers = getattr(error, "headers", None) if headers is None else headers
    if not hasattr(headers, "get"):
        return None
    try:
        given = headers.get("retry-after-ms")
        if given is not None:
            return max(0.0, float(given) / 1000)
        given = headers.get("retry-after") or headers.get("Retry-After")
        if given is None:
            return None
        try:
            return max(0.0, float(given))
        except ValueError:
            return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    places = (error, "status_code"), (error, "status"), (response, "status_code"), (error, "code")
    for holder, name in places:
        found = getattr(holder, name, None)
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    return None


def pause_of(error: BaseException, tries: int) -> float:
    """Return for how many seconds nobody should call, since a server has refused so many tries of a call."""
    asked = retry_after(error)
    return min(_LONGEST, _FIRST * 2.0 ** min(tries - 1, 10)) if asked is None else asked


def tries(retries: int, passes: Callable[[BaseException], bool], waits: list[float]) -> Iterator[Any]:
    """Yield tries of a call, as tenacity does, until one succeeds or fails for good.

    Parameters
    ----------
    retries : int
        How many failures may pass; if any, refusals are not counted, and pass for ten minutes.
    passes : callable
        Says of an exception whether it may.
    waits : list of float
        Takes the seconds to wait before the next try.

    Raises
    ------
    MissingExtraError
        If tenacity is not installed.
    """
    if retries == 0:
        yield nullcontext()
        return
    try:
        import tenacity  # optional
    except ImportError as missing:
        raise MissingExtraError(
            "calls of remote functions are tried again by tenacity; install it with "
            "pip install 'pytest-crystallize[remote]', or declare retries=0"
        ) from missing
    grown = tenacity.wait_exponential(multiplier=_FIRST, max=_LONGEST)
    failed = 0

    def ends(state: tenacity.RetryCallState) -> bool:
        nonlocal failed
        error = _error_of(state)
        if is_refusal(error):
            return (state.seconds_since_start or 0.0) + pause_of(error, state.attempt_number) > PATIENCE
        failed += 1
        return failed > retries

    def wait(state: tenacity.RetryCallState) -> float:
        error = _error_of(state)
        if is_refusal(error):
            return pause_of(error, state.attempt_number)
        return grown(state) * _JITTER.uniform(0.5, 1.0)

    yield from tenacity.Retrying(
        stop=ends,
        wait=wait,
        retry=tenacity.retry_if_exception(passes),
        sleep=waits.append,
        reraise=True,
    )


def _error_of(state: Any) -> BaseException:
    error = state.outcome.exception()
    assert error is not None
    return error  # type: ignore[no-any-return]
