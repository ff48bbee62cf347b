"""Treatments switched off without editing code, remembered from run to run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crystallize.seam import read_regular, write_whole

STATE_FILE = "config.state.json"
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SwitchedOff:
    """Names of treatments that are switched off.

    Attributes
    ----------
    everywhere : frozenset of str
        In every experiment that does not say otherwise.
    off, on : mapping of str to frozenset of str
        By the id of an experiment, what is off in it alone, and what is on in it though off elsewhere.
    """

    everywhere: frozenset[str] = frozenset()
    off: Mapping[str, frozenset[str]] = field(default_factory=dict)
    on: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, experiment: str) -> frozenset[str]:
        """Return the names that are off in an experiment."""
        nothing: frozenset[str] = frozenset()
        return (self.everywhere - self.on.get(experiment, nothing)) | self.off.get(experiment, nothing)

    @property
    def names(self) -> frozenset[str]:
        """All names that are off somewhere."""
        return self.everywhere.union(*self.off.values())

    def switched(self, *, off: Iterable[str] = (), on: Iterable[str] = ()) -> SwitchedOff:
        """Return the same with names switched in every experiment; what is to be both is on."""
        enabled = frozenset(on)
        disabled = frozenset(off) - enabled
        return SwitchedOff(
            (self.everywhere | disabled) - enabled,
            {key: names - enabled - disabled for key, names in self.off.items()},
            {key: names - enabled - disabled for key, names in self.on.items()},
        )

    def switched_in(self, experiment: str, treatment: str, *, off: bool) -> SwitchedOff:
        """Return the same with a treatment switched in one experiment."""
        if off is (treatment in self.of(experiment)):
            return self
        is_exception = off is not (treatment in self.everywhere)
        known = {True: dict(self.off), False: dict(self.on)}
        for to, exceptions in known.items():
            names = exceptions.get(experiment, frozenset()) - {treatment}
            exceptions[experiment] = names | {treatment} if is_exception and to is off else names
        return SwitchedOff(self.everywhere, known[True], known[False])

    def to_dict(self) -> dict[str, Any]:
        """Return what is remembered; plain data."""
        own: dict[str, dict[str, list[str]]] = {}
        for word, by_experiment in (("disabled", self.off), ("enabled", self.on)):
            for experiment, names in by_experiment.items():
                if names:
                    own.setdefault(experiment, {})[word] = sorted(names)
        return {"disabled_treatments": sorted(self.everywhere), **({"experiments": own} if own else {})}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SwitchedOff:
        """Return what `to_dict` was called of.

        Raises
        ------
        TypeError, KeyError, AttributeError
            If the data have another form.
        """
        own = data.get("experiments", {})
        return cls(
            _names(data["disabled_treatments"]),
            {experiment: _names(known.get("disabled", ())) for experiment, known in own.items()},
            {experiment: _names(known.get("enabled", ())) for experiment, known in own.items()},
        )


def _names(given: Iterable[object]) -> frozenset[str]:
    return frozenset(name for name in given if isinstance(name, str))


class Switches:
    """Treatments that are switched off, as remembered and as said on the command line.

    Parameters
    ----------
    path : Path or None
        Where the state is remembered; None remembers nothing.
    disable, enable : iterable of str
        Names from the command line.

    Attributes
    ----------
    off : SwitchedOff
        What is switched off.
    note : str or None
        What the summary is to say once.
    """

    def __init__(self, path: Path | None, disable: Iterable[str] = (), enable: Iterable[str] = ()) -> None:
        remembered, self.note = _remembered(path)
        self.off = remembered.switched(off=disable, on=enable)
        self._path = path
        self._changed = path if {*disable, *enable} and not in_ci() else None

    def switch(self, experiment: str, treatment: str, *, off: bool) -> None:
        """Switch a treatment in one experiment, to be remembered."""
        self.off = self.off.switched_in(experiment, treatment, off=off)
        self._changed = self._path

    def remember(self) -> None:
        """Write the state for the next run, if this one changed it."""
        if self._changed is None:
            return
        text = json.dumps(self.off.to_dict(), indent=2) + "\n"
        try:
            write_whole(self._changed, text.encode())
        except OSError as error:
            self.note = f"which treatments are switched off could not be remembered: {error}"


def in_ci() -> bool:
    """Return whether the environment says that this is CI, where nothing is remembered."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _remembered(path: Path | None) -> tuple[SwitchedOff, str | None]:
    """Return what is remembered and, if there is something to say about it, that."""
    if path is None:
        return SwitchedOff(), None
    try:
        remembered = SwitchedOff.from_dict(json.loads(read_regular(path, _LARGEST)))
    except (FileNotFoundError, NotADirectoryError):
        return SwitchedOff(), None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return SwitchedOff(), f"{path} can't be read, so every treatment is on: {error}"
    if remembered.names and in_ci():
        shown = ", ".join(sorted(remembered.names))
        return SwitchedOff(), f"CI is set: treatments remembered as switched off are on ({shown})"
    return remembered, None
