"""Texts of others as they may be shown: names, messages, tracebacks, captured output, notes, paths.

What is no character that can be seen is shown as in the `repr` of a string: control characters and escapes,
line separators, marks of direction. So are the commands of those who run jobs and read what these print:
``::error ...`` at the start of a line, spaces aside, and ``##[error]`` or ``##vso[...]`` anywhere in it.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"^(\s*):(?=:)")
LEGACY_COMMAND = r"#(?=#\w*\[)"


def escaped(char: str) -> str:
    """Return a character as in the `repr` of a string, also one that could be seen."""
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def printable(text: str) -> str:
    """Return a text as one line."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return disarmed(text)


def disarmed(line: str) -> str:
    """Return a line in which no runner of jobs finds a command."""
    if "::" not in line and "##" not in line:
        return line
    return re.sub(LEGACY_COMMAND, r"\\x23", _COMMAND.sub(r"\1\\x3a", line))


def printable_lines(text: str) -> str:
    """Return a text of several lines, which stay lines; tabs become spaces."""
    if text.isascii() and text.isprintable():
        return disarmed(text)
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(printable(line.expandtabs()) for line in lines)
