"""Files of the references of an experiment: beside the file that it is in."""

from __future__ import annotations

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
        root = self._directory
        names = sorted(each.name for each in root.iterdir()) if root.is_dir() else []
        files = [(name, self.of(name)) for name in names]
        return [name for name, file in files if file.exists() or file.with_suffix("").is_dir()]

    @property
    def _directory(self) -> Path:
        return self.function.path.parent / "references"
