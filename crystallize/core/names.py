"""Names as parts of paths: anything a user may call a thing, and nothing that leaves its directory."""

from __future__ import annotations

import re
import urllib.parse

_WINDOWS_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?\Z")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


def path_component(name: str) -> str:
    """Encode any name as one path component that is valid on every platform; distinct names stay distinct.

    Percent-encoding, except that ordinary letters of any script, digits, blanks and ``-_.()[]{}+=,@`` stay
    readable.
    """
    encoded = "".join(
        char if char.isalnum() or char in " -_.()[]{}+=,@" else urllib.parse.quote(char, safe="")
        for char in name
    )
    if encoded.endswith((".", " ")):  # `..`, and what Windows would cut off
        encoded = encoded[:-1] + ("%2E" if encoded[-1] == "." else "%20")
    if not encoded or _WINDOWS_RESERVED.match(encoded):
        encoded = "%" + encoded
    return encoded


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
    if len(name.encode()) > 200:
        return "it is longer than 200 bytes"
    return None
