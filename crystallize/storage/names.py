"""Names as parts of paths: anything a user may call a thing, and nothing that leaves its directory."""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
import urllib.parse
from collections.abc import Iterable
from typing import Final

_WINDOWS_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?\Z")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_READABLE: Final = frozenset(" -_.()[]{}+=,@")
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789 -_.")
_LONGEST: Final = 200  # bytes; file systems take 255

TEMPORARY: Final = ".tmp"
"""Name of what is there only while something is written."""


def path_component(name: str) -> str:
    """Encode any name as one path component that is valid on every platform; distinct names stay distinct.

    Percent-encoding, except that ordinary letters of any script, digits, blanks and ``-_.()[]{}+=,@`` stay
    readable, where the encoding of the file system can hold them. A long name is cut off, and ends in its
    digest.
    """
    return _component(name, "".join(char if _is_readable(char) else _quoted(char) for char in name))


def path_components(names: Iterable[str]) -> dict[str, str]:
    """Encode names that lie in one directory, also where upper and lower case are the same.

    Each is that of `path_component`, unless two of the names would share a file there: of these every
    character but plain lower-case ones is encoded.
    """
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_key.setdefault(file_key(path_component(name)), []).append(name)
    return {
        name: path_component(name) if len(alike) == 1 else _component(name, _strictly_quoted(name))
        for alike in by_key.values()
        for name in alike
    }


def file_key(name: str) -> str:
    """Return what two file names have in common that are the same file on some file system.

    Upper and lower case, composed and decomposed letters, and letters that differ in style only.
    """
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    folded = unicodedata.normalize("NFKC", visible).upper().casefold()
    return unicodedata.normalize("NFKC", folded)


def is_encodable(text: str) -> bool:
    """Return whether the encoding of the file system, of arguments and of the environment can hold a text."""
    try:
        text.encode(sys.getfilesystemencoding())
    except UnicodeEncodeError:
        return False
    return True


def unsafe_file_name(name: str) -> str | None:
    """Say why `name` can't name a file inside a directory on every platform; None if it can."""
    if not name:
        return "it is empty"
    if found := _FORBIDDEN.search(name):
        return f"it contains {found.group()!r}"
    if name.endswith((".", " ")):
        return f"it ends in {name[-1]!r}"
    if _WINDOWS_RESERVED.match(name):
        return "it is a reserved device name on Windows"
    if file_key(name).startswith(TEMPORARY):
        return f"names that begin with {TEMPORARY!r} are those of unfinished files"
    if len(name.encode()) > _LONGEST:
        return f"it is longer than {_LONGEST} bytes"
    return None


def _is_readable(char: str) -> bool:
    # A letter that a file system may store as another one would not be found again, or be two names' file.
    if char in _READABLE or not char.isalnum():
        return char in _READABLE
    return unicodedata.is_normalized("NFC", char) and is_encodable(char)


def _quoted(char: str) -> str:
    return urllib.parse.quote(char, safe="", errors="surrogatepass")


def _strictly_quoted(name: str) -> str:
    return "".join(
        char if char in _PLAIN else "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))
        for char in name
    )


def _component(name: str, encoded: str) -> str:
    if encoded.endswith((".", " ")):  # `..`, and what Windows would cut off
        encoded = encoded[:-1] + ("%2E" if encoded[-1] == "." else "%20")
    if not encoded or _WINDOWS_RESERVED.match(encoded):
        encoded = "%" + encoded
    if len(encoded.encode()) > _LONGEST:  # `%~` is in no other component
        digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
        beginning = encoded.encode()[: _LONGEST - 2 - len(digest)].decode(errors="ignore")
        encoded = f"{beginning}%~{digest}"
    return encoded
