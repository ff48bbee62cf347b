"""The secret that tells our stored results from everybody else's."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from crystallize.storage.atomic import write_first
from crystallize.storage.system import AT_ONCE, BINARY, configuration, not_private

VARIABLE = "CRYSTALLIZE_CACHE_SECRET"
_BYTES = 32
_LENGTH = 2 * _BYTES + 1  # hexadecimal, and a newline


@dataclass(frozen=True, slots=True)
class Secret:
    """The key of the authentication codes, or the reason why there is none.

    Attributes
    ----------
    key : bytes or None
        32 bytes.
    fault : str or None
        Why there is no key, and what to do.
    """

    key: bytes | None = field(repr=False)
    fault: str | None = None


def find_secret() -> Secret:
    """Return the secret of the environment, or the one in the user's configuration, made at first need.

    ``CRYSTALLIZE_CACHE_SECRET`` comes first. The file is ``crystallize/cache-secret`` in ``XDG_CONFIG_HOME``
    or ``~/.config`` (on macOS ``~/Library/Application Support``, on Windows ``LOCALAPPDATA``); one that
    others can use is refused. Processes that need the first secret at the same time get the same one.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Secret(blake2b(given.encode("utf-8", "surrogateescape"), digest_size=_BYTES).digest())
    try:
        path = configuration() / "crystallize" / "cache-secret"
    except RuntimeError:  # no home directory
        return Secret(None, f"there is no home directory for the cache's secret; set {VARIABLE}")
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _create(path)
            return _read(path)
    except OSError as error:
        reason = error.strerror or str(error)
        return Secret(None, f"the cache's secret {path} can't be read or made: {reason}; set {VARIABLE}")


def _read(path: Path) -> Secret:
    descriptor = os.open(path, os.O_RDONLY | AT_ONCE | BINARY)
    with os.fdopen(descriptor, "rb") as file:
        # What was opened is judged, not what the path names by now.
        status = os.fstat(descriptor)
        fault = _fault(status)
        text = b"" if fault else file.read(_LENGTH + 1)
    if fault is None:
        with contextlib.suppress(ValueError):
            key = bytes.fromhex(text.decode("ascii"))
            if len(key) == _BYTES:
                return Secret(key)
        fault = f"does not hold {_BYTES} bytes in hexadecimal: delete it"
    return Secret(None, f"the cache's secret {path} {fault}, or set {VARIABLE}")


def _fault(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file: delete it"
    return not_private(status)


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_first(path, secrets.token_hex(_BYTES).encode() + b"\n", mode=0o600)
