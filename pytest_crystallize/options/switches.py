"""Treatments switched off without editing code, remembered from run to run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from crystallize.seam import read_regular, write_whole

STATE_FILE = "config.state.json"
_LARGEST: Final = 1 << 20


class Switches:
    """Treatments that are switched off.

    Parameters
    ----------
    path : Path or None
        Where the state is remembered; None remembers nothing.
    disable, enable : iterable of str
        Names from the command line.

    Attributes
    ----------
    off : frozenset of str
        Names of the treatments that are switched off.
    note : str or None
        What the summary is to say once.
    """

    def __init__(self, path: Path | None, disable: Iterable[str], enable: Iterable[str]) -> None:
        remembered, self.note = _remembered(path)
        self.off = frozenset({*remembered, *disable} - {*enable})
        self._changed = path if {*disable, *enable} and not _in_ci() else None

    def remember(self) -> None:
        """Write the state for the next run, if this one changed it."""
        if self._changed is None:
            return
        text = json.dumps({"disabled_treatments": sorted(self.off)}, indent=2) + "\n"
        try:
            write_whole(self._changed, text.encode())
        except OSError as error:
            self.note = f"which treatments are switched off could not be remembered: {error}"


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _remembered(path: Path | None) -> tuple[frozenset[str], str | None]:
    """Return the names remembered and, if there is something to say about them, that."""
    if path is None or not path.exists():
        return frozenset(), None
    try:
        names = json.loads(read_regular(path, _LARGEST))["disabled_treatments"]
        remembered = frozenset(name for name in names if isinstance(name, str))
    except (OSError, ValueError, TypeError, KeyError) as error:
        return frozenset(), f"{path} can't be read, so every treatment is on: {error}"
    if remembered and _in_ci():
        shown = ", ".join(sorted(remembered))
        return frozenset(), f"CI is set: treatments remembered as switched off are on ({shown})"
    return remembered, None
