"""Which files of installed packages are loaded; this is no key, since it depends on what ran before."""

from __future__ import annotations

import os
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

from crystallize.identity.file_digests import DIGESTS
from crystallize.identity.origin import package_directories

_HERE: Final = str(Path(__file__).parents[1])
_OURS: Final = (_HERE + os.sep, os.path.join(os.path.dirname(_HERE), "pytest_crystallize") + os.sep)  # noqa: PTH118, PTH120
STARTED: Final = time.time_ns()
"""About when this process began to load what it uses."""


@lru_cache(maxsize=1)
def homes() -> tuple[str, ...]:
    """Return the directories of installed packages, each with a separator behind it."""
    found = package_directories()
    spelled = [spelling for path in found for spelling in (path, os.path.realpath(path))]
    return tuple(dict.fromkeys(path.rstrip(os.sep) + os.sep for path in spelled))


class LoadedFiles:
    """The files of site-packages that modules of this process were loaded from."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self._seen: set[str] = set()
        self._files: dict[str, str] = {}

    def now(self) -> dict[str, str]:
        """Return name, relative to its home, -> path of each file; Crystallize's own are left out."""
        listed = list(sys.modules)
        if listed == self._listed:  # sooner than to look up each
            return self._files
        self._listed = listed
        # A list of pairs could have garbage collected, whose finalizers may import, while it is made.
        for name, module in sys.modules.copy().items():
            if name in self._seen:
                continue
            self._seen.add(name)
            path = getattr(module, "__dict__", {}).get("__file__")
            if not isinstance(path, str) or path.startswith(_OURS) or name.startswith("__editable__"):
                continue  # an editable install's finder says where a project lies, whose code counts
            home = next((home for home in homes() if path.startswith(home)), None)
            if home is not None:
                self._files[path[len(home) :].replace(os.sep, "/")] = path
        return self._files


LOADED: Final = LoadedFiles()
"""Those of this process."""


def digest_here(name: str) -> str:
    """Return the digest of the file of a name as it is in this environment.

    Raises
    ------
    OSError
        If there is none.
    """
    for home in homes():
        try:
            return DIGESTS.of(home + name)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(name)
