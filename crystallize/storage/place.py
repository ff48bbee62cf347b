"""Where the cache of the library lies, and the store in it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from crystallize.storage.secret import find_secret
from crystallize.storage.store import Store


def cache_directory(root: Path | None = None) -> Path:
    """Return the directory that ``CRYSTALLIZE_CACHE_DIR`` names, or ``.cache/crystallize`` in a root.

    Without a root, it is where we are.
    """
    named = os.environ.get("CRYSTALLIZE_CACHE_DIR")
    return (Path(named) if named else (root or Path()) / ".cache" / "crystallize").absolute()


@lru_cache(maxsize=8)
def open_store(directory: Path) -> Store:
    """Return the store of a directory, the same one whenever this process asks for it."""
    return Store(directory, find_secret())
