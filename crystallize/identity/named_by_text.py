"""What of the project a text names, as configurations do: ``shop.prices:Rate``."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator

from crystallize.identity.origin import ABSENT, Look, Roots, is_project_module, look_up

_LONGEST = 200  # characters; others are no names
_PATH = re.compile(r"[^\W\d]\w*(?:[.:][^\W\d]\w*)+")


def paths_in(text: str) -> Iterator[str]:
    """Yield what in a text may be such a name, as in ``!!python/name:shop.Rate``."""
    if len(text) <= _LONGEST and not any(map(str.isspace, text)):
        for found in _PATH.findall(text):
            yield found
            behind = found.partition(":")[2]
            if _PATH.fullmatch(behind):
                yield behind


def named_by(path: str, roots: Roots, look: Look = look_up) -> tuple[types.ModuleType, str] | None:
    """Return the loaded module of the project whose name a path begins with, and the attribute behind it."""
    top = re.split("[.:]", path, maxsplit=1)[0]
    if top == path or len(path) > _LONGEST or _PATH.fullmatch(path) is None:
        return None
    if look(sys.modules, top, ABSENT) is ABSENT:
        return None
    parts = re.split("[.:]", path)
    for count in range(len(parts) - 1, 0, -1):
        module = look(sys.modules, ".".join(parts[:count]))
        if isinstance(module, types.ModuleType):
            held = look(vars(module), parts[count], ABSENT) is not ABSENT
            return (module, parts[count]) if held and is_project_module(module, roots, look) else None
    return None
