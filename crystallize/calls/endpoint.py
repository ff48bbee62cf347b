"""One remote function in this process: its arguments, its replies, its limits, and its calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cache, lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from crystallize.calls.counts import count
from crystallize.calls.declared import Remote
from crystallize.calls.keeping import Keeping, keeping
from crystallize.calls.limits import Limits
from crystallize.calls.making import Call, Making, UnderWay, amade, made, making
from crystallize.calls.replies import Cassette, Reply, as_data, kept_in, reply_of
from crystallize.context.current import CURRENT
from crystallize.context.journal import Journal
from crystallize.context.recording import CallEntry
from crystallize.errors import DefinitionError, MissingReplyError, RemoteError
from crystallize.identity.purity import vouched
from crystallize.storage.names import path_component
from crystallize.storage.system import at_fork

_SCHEMA: Final = "crystallize-call-1"


class Endpoint:
    """A remote function as this process calls it.

    Parameters
    ----------
    remote : Remote
        What is declared.
    settled : Keeping
        Where replies are kept, and whether calls are made.
    """

    def __init__(self, remote: Remote, settled: Keeping) -> None:
        self.remote = remote
        self._settled = settled
        self._mode = settled.mode or remote.mode or "live"
        self._arguments = remote.arguments
        self._cassette = None if remote.cassette is None else Cassette(Path(remote.cassette), remote.name)
        self._lock = threading.Lock()

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what a call gives that is not asynchronous."""
        call = self._prepared(args, kwargs)
        with vouched():
            reply = self._found(call)
            if reply is None:
                reply = made(self._making(call), partial(self.remote.function, *args, **kwargs), call.shown)
        return self._noted(call, reply)

    async def acall(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what a call gives that is asynchronous."""
        call = self._prepared(args, kwargs)
        with vouched():
            reply = self._found(call)
            if reply is None:
                function = partial(self.remote.function, *args, **kwargs)
                reply = await amade(self._making(call), function, call.shown)
        return self._noted(call, reply)

    def _prepared(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        remote = self.remote
        arguments = self._arguments.of(args, kwargs)
        word = self._word()
        identity = [_SCHEMA, remote.key, remote.name, self._arguments.hash(arguments), word]
        digest = blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
        return Call(
            digest,
            remote.name,
            shown=partial(self._arguments.shown, arguments),
            find=partial(self._find, digest, arguments),
            keep=partial(self._keep, digest, arguments),
        )

    def _word(self) -> int | None:
        """Return the word of the run that calls; None outside of runs, and if it does not count."""
        if not self.remote.seed:
            return None
        run = CURRENT.get()
        if run is not None:
            run.trace_seed()
            return run.word
        if threading.current_thread() is not threading.main_thread():
            raise RemoteError(
                f"{self.remote.name} is called in a thread that belongs to no run, so that its seed is not "
                "known: start the thread by asyncio.to_thread, or with contextvars.copy_context().run; or "
                "declare seed=False"
            )
        return None

    def _found(self, call: Call) -> Reply | None:
        """Return the reply that is kept; None if the call is to be made."""
        reply = call.find()
        count(call.name, calls=1, kept=int(reply is not None))
        if reply is None and self._mode == "replay":
            cassette = "" if self._cassette is None else f"{self._cassette.directory} and "
            raise MissingReplyError(
                f"{call.shown()}: no reply is kept under key {self.remote.key!r}, and replay makes no calls; "
                f"looked in {cassette}{self._settled.directory}; run it live once"
            )
        return reply

    def _find(self, digest: str, arguments: Mapping[str, Any]) -> Reply | None:
        kept = kept_in(self._settled.directory)
        reply = None if self._cassette is None else self._cassette.get(digest)
        if reply is None:
            reply = kept.get(digest)
            if reply is not None and self._cassette is not None and self._is_new(reply):
                self._copy(digest, reply, arguments)
        return reply if reply is not None and self._is_new(reply) else None

    def _copy(self, digest: str, reply: Reply, arguments: Mapping[str, Any]) -> None:
        """Have the cassette hold what a call would give it."""
        if self._mode != "replay":
            assert self._cassette is not None
            shown = self._redacted(arguments, reply.value)["arguments"]
            self._cassette.put(digest, reply, self._about(shown))

    def _is_new(self, reply: Reply) -> bool:
        return self._mode != "refresh" or reply.made >= self._settled.started

    def _keep(self, digest: str, arguments: Mapping[str, Any], data: Any, seconds: float) -> Reply:
        redacted = self._redacted(arguments, data)
        reply = reply_of(as_data(redacted["reply"], self.remote.name), seconds)
        kept_in(self._settled.directory).put(digest, reply)
        if self._cassette is not None:
            self._cassette.put(digest, reply, self._about(redacted["arguments"]))
        return reply

    def _redacted(self, arguments: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
        entry = {"arguments": dict(arguments), "reply": data}
        if self.remote.redact is None:
            return entry
        redacted = self.remote.redact(entry)
        if not isinstance(redacted, Mapping) or redacted.keys() != entry.keys():
            raise DefinitionError(
                f"redact= of {self.remote.name} returned {redacted!r:.80}; return a dict of 'arguments' and "
                "'reply', as it is given"
            )
        return redacted

    def _about(self, arguments: Any) -> dict[str, Any]:
        return {"function": self.remote.name, "key": self.remote.key, "arguments": arguments}

    def _making(self, call: Call) -> Making:
        remote = self.remote
        kept_in(self._settled.directory).check()
        with _creating:
            limits = _limits(
                self._settled.directory, remote.key, remote.name, remote.concurrency, remote.interval
            )
            under_way = _under_way(self._settled.directory)
        make = partial(
            making, call, limits, retries=remote.retries, timeout=remote.timeout, passes=remote.passes
        )
        return under_way.alone(call, make)

    def _noted(self, call: Call, reply: Reply) -> Any:
        """Have the record of the run hold what it was made of; return what the call gives."""
        run: Journal | None = CURRENT.get()
        if run is not None:
            entry = CallEntry(call.name, call.digest, reply.digest, reply.seconds)
            with self._lock:
                if not run.calls:
                    run.calls = {}
                run.calls[entry] = None
        return reply.value


@lru_cache(maxsize=256)
def _endpoint(remote: Remote, settled: Keeping) -> Endpoint:
    return Endpoint(remote, settled)


def endpoint_of(remote: Remote) -> Endpoint:
    """Return a remote function as this process calls it now."""
    return _endpoint(remote, keeping())


_creating = threading.Lock()
"""Two of one file would not see each other's locks: these are the process's."""


@cache
def _limits(directory: Path, key: str, name: str, concurrency: int, interval: float) -> Limits:
    digest = blake2b(json.dumps([key, name]).encode(), digest_size=8).hexdigest()
    return Limits(_shared(directory), f"{path_component(name)[:80]}-{digest}", concurrency, interval)


@cache
def _under_way(directory: Path) -> UnderWay:
    return UnderWay(_shared(directory))


def _shared(directory: Path) -> Path:
    """Return the directory of what processes share."""
    shared = directory / "limits"
    try:
        shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RemoteError(
            f"replies can't be kept in {directory} ({error.strerror or error}), so that every call would be "
            "made again: name another directory by CRYSTALLIZE_CACHE_DIR"
        ) from error
    return shared


def _begin_anew() -> None:
    """Forget what belongs to the process that this one was forked from: its slots, and its calls."""
    global _creating
    _creating = threading.Lock()
    for known in (_endpoint, _limits, _under_way):
        known.cache_clear()


at_fork(in_child=_begin_anew)
