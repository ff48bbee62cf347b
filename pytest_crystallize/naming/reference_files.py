"""Files of the references of an experiment: beside the file that it is in."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from crystallize.seam import path_component


@dataclass(frozen=True)
class ReferenceFiles:
    """Files of the references of one experiment.

    Attributes
    ----------
    function : pytest.Function
        The function of the experiment, with its parameters.
    part : str
        Which experiment of a graph it is; empty outside of graphs.
    """

    function: pytest.Function
    part: str

    def of(self, name: str) -> Path:
        """Return where the reference of a name is, or is to be."""
        function, bracket, params = self.function.nodeid.partition("::")[2].partition("[")
        called = function.replace("::", ".") + bracket + params + (f".{self.part}" if self.part else "")
        directory = self._directory / name / path_component(self.function.path.stem)
        return directory / f"{path_component(called)}.json"

    def names(self) -> list[str]:
        """Return the names of the references that are there."""
        names: list[str] = []
        with suppress(OSError):
            names = sorted(os.listdir(self._directory))  # noqa: PTH208 - only names are needed
        files = [(name, self.of(name)) for name in names]
        # A Path raises where there is no access.
        return [n for n, f in files if os.path.exists(f) or os.path.isdir(f.with_suffix(""))]  # noqa: PTH110, PTH112

    @property
    def _directory(self) -> Path:
        return self.function.path.parent / "references"
