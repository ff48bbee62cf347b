"""Replies as they are kept: in a store that nothing evicts, and in cassettes beside the code."""

from __future__ import annotations

import base64
import inspect
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

from crystallize.calls.keeping import CASSETTES, Keeping
from crystallize.context.recording import CallEntry
from crystallize.errors import NotStorableError, RemoteError
from crystallize.identity.purity import vouched
from crystallize.storage.atomic import write_whole
from crystallize.storage.names import path_component
from crystallize.storage.place import open_store
from crystallize.storage.regular import read_regular
from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import find_secret

_JSON: Final = "json"
_BYTES: Final = "bytes"
_FORMAT: Final = "crystallize-reply-1"
_LARGEST: Final = 1 << 28  # bytes of a cassette's file


class Reply(NamedTuple):
    """Reply to a call.

    Attributes
    ----------
    kind : {"json", "bytes"}
        How to read it.
    data : bytes
        The bytes.
    seconds : float
        Time from the call to its reply.
    made : float
        When it came, in seconds of `time.time`.
    """

    kind: str
    data: bytes
    seconds: float
    made: float

    @property
    def value(self) -> Any:
        """Value of the call, made anew each time."""
        return json.loads(self.data) if self.kind == _JSON else self.data

    @property
    def digest(self) -> str:
        """Digest that tells replies apart, 16 hexadecimal digits."""
        return blake2b(self.kind.encode() + b" " + self.data, digest_size=8).hexdigest()


def as_data(value: Any, name: str) -> Any:
    """Return what is kept of what a function returned: JSON and bytes as they are, a model as `model_dump`.

    Raises
    ------
    NotStorableError
        If it is neither.
    """
    dump = getattr(type(value), "model_dump", None)
    if callable(dump):
        value = dump(value, mode="json")
    if type(value) is bytes:
        return value
    if inspect.iscoroutine(value):
        value.close()
        raise NotStorableError(f"{name} returned a coroutine: declare it with async def, and await inside")
    fault = _unlike_json(value, "its reply")
    if fault is not None:
        raise NotStorableError(
            f"{name}: {fault}; return what JSON keeps (dict with texts as keys, list, str, int, float, bool, "
            "None), bytes, or a pydantic model"
        )
    return value


def reply_of(value: Any, seconds: float) -> Reply:
    """Return a reply of what `as_data` returned."""
    if type(value) is bytes:
        return Reply(_BYTES, value, seconds, time.time())
    return Reply(_JSON, json.dumps(value, separators=(",", ":")).encode(), seconds, time.time())


def _unlike_json(value: Any, place: str) -> str | None:
    """Say what in a value JSON would not give back as it is, or None."""
    kind = type(value)  # a subclass would come back as its base
    if value is None or kind in (str, bool, int):
        return None
    if kind is float:
        return None if math.isfinite(value) else f"{place} is {value}"
    try:
        if kind is list:
            found = (_unlike_json(item, f"{place}[{number}]") for number, item in enumerate(value))
        elif kind is dict:
            odd = next((key for key in value if type(key) is not str), None)
            if odd is not None:
                return f"{place} has the key {odd!r}"
            found = (_unlike_json(item, f"{place}[{key!r}]") for key, item in value.items())
        else:
            return f"{place} is a {kind.__qualname__}"
        return next((fault for fault in found if fault is not None), None)
    except RecursionError:
        return f"{place} is nested too deep"


class Kept:
    """Replies in the store of a directory: authentic, and never evicted.

    Parameters
    ----------
    directory : Path
        Where they lie.
    """

    def __init__(self, directory: Path) -> None:
        self._store = open_store(directory)
        self._secret_fault = find_secret().fault

    def get(self, call: str) -> Reply | None:
        """Return the reply of a call, or None."""
        found = self._store.get(call)
        if found is None or found.kind not in (_JSON, _BYTES):
            return None
        seconds, made, data = found.data.split(b" ", 2)
        return Reply(found.kind, data, float(seconds), float(made))

    def put(self, call: str, reply: Reply) -> None:
        """Keep a reply.

        Raises
        ------
        RemoteError
            If it can't be kept, so that the call would be made again.
        """
        data = b"%r %r %s" % (reply.seconds, reply.made, reply.data)
        if not self._store.put(call, Encoded(reply.kind, data)):
            raise RemoteError(f"a reply can't be kept, so that its call would be made again: {self.fault}")

    def check(self) -> None:
        """Refuse to keep replies without a secret, before any is paid.

        Raises
        ------
        RemoteError
            If there is none.
        """
        if self._secret_fault is not None:
            raise RemoteError(f"no reply could be kept, so no call is made: {self._secret_fault}")

    @property
    def fault(self) -> str | None:
        """Reason why replies can't be read or kept."""
        return self._store.fault


@lru_cache(maxsize=8)
def kept_in(directory: Path) -> Kept:
    """Return the replies of a directory, which is made so that no version control takes it up."""
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = directory / ".gitignore"
        if not ignore.exists():
            write_whole(ignore, b"*\n")
    return Kept(directory)


class Cassette:
    """Replies in a directory beside the code, to be committed with it: one readable file each.

    They are believed as the code is: what changes them changes what runs give.

    Parameters
    ----------
    directory : Path
        Where they lie.
    name : str
        Of the function.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self._name = path_component(name)

    def get(self, call: str) -> Reply | None:
        """Return the reply of a call, or None if there is none.

        Raises
        ------
        RemoteError
            If its file holds no reply.
        """
        path = self._path(call)
        try:
            text = read_regular(path, _LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RemoteError(f"the reply {path} can't be read: {error.strerror or error}") from error
        try:
            found = json.loads(text)
            if found["format"] != _FORMAT or found["call"] != call:
                raise ValueError(f"it is of another format, or of call {found['call']}")
            encoded = found.get("bytes")
            value = found["reply"] if encoded is None else base64.b64decode(encoded, validate=True)
            return reply_of(value, float(found["seconds"]))._replace(made=float(found["made"]))
        except (ValueError, TypeError, KeyError) as fault:
            raise RemoteError(f"{path} holds no reply ({fault}): restore it, or delete it") from fault

    def put(self, call: str, reply: Reply, about: Mapping[str, Any]) -> None:
        """Keep a reply, beside what it was the reply to.

        Raises
        ------
        RemoteError
            If it can't be written.
        """
        body: dict[str, Any] = {"format": _FORMAT, "call": call, **about}
        if reply.kind == _BYTES:
            body["bytes"] = base64.b64encode(reply.data).decode()
        else:
            body["reply"] = reply.value
        body |= {"seconds": round(reply.seconds, 3), "made": reply.made}
        path = self._path(call)
        text = json.dumps(body, indent=1, ensure_ascii=True, default=_unreadable)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode() + b"\n")
        except OSError as error:
            raise RemoteError(f"the reply {path} can't be written: {error.strerror or error}") from error

    def _path(self, call: str) -> Path:
        return self.directory / f"{self._name}-{call}.json"


def replaced(calls: Iterable[CallEntry], settled: Keeping) -> str | None:
    """Name the function of a call to which another reply is kept by now, or is to be, or return None.

    Replies that are kept no more speak against nothing.
    """
    kept = kept_in(settled.directory)
    for function, call, digest, _ in calls:
        places = [place for (name, _), place in CASSETTES.items() if name == function and place is not None]
        cassettes: list[Cassette | Kept] = [Cassette(Path(place), function) for place in places]
        try:
            with vouched():
                found = [source.get(call) for source in (*cassettes, kept)]
        except RemoteError:  # the run will tell
            return function
        reply = next((reply for reply in found if reply is not None), None)
        is_old = settled.mode == "refresh" and (reply is None or reply.made < settled.started)
        if is_old or (reply is not None and reply.digest != digest):
            return function
    return None


def _unreadable(value: object) -> str:
    return f"<{type(value).__qualname__}>"


def prune_replies(directory: Path, before: float) -> tuple[int, int]:
    """Delete the replies that were not used since a time; return how many, and how many are left.

    Cassettes are left alone.

    Parameters
    ----------
    directory : path
        Of the replies.
    before : float
        The time, in seconds of `time.time`.
    """
    gone = left = 0
    for path in _files(directory):
        with suppress(OSError):
            if os.stat(path).st_mtime < before:  # noqa: PTH116 - many, and a Path for each costs more
                os.unlink(path)  # noqa: PTH108 - as above
                gone += 1
            else:
                left += 1
    return gone, left


def _files(directory: Path) -> Iterator[str]:
    for shard in directory.glob("[0-9a-f][0-9a-f]"):
        yield from map(str, shard.glob("*.value"))
