"""Keeping units and the work of Dask in one process from meddling with each other."""

from __future__ import annotations

import functools
import importlib.util
import random
import sys
import threading

from crystallize.identity.purity import exempt_threads


def prevent_interference(*, threads: bool) -> None:
    """Keep what a process does for Dask, if anything, from its units: once, before the first one.

    Dask draws from the module `random`, for delays and samples; it is given a copy of it, with a generator of
    its own, so that units find theirs as seeded.

    Parameters
    ----------
    threads : bool
        Whether all threads that there are belong to Dask, so that what they do counts for no run.
    """
    if "distributed" in sys.modules:
        _prevent(threads)


@functools.lru_cache(maxsize=2)
def _prevent(threads: bool) -> None:
    if threads:
        exempt_threads(thread for thread in threading.enumerate() if thread is not threading.current_thread())
    spec = importlib.util.find_spec("random")
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    names = {"random", *random.__all__}
    for name, module in sys.modules.copy().items():
        if name.partition(".")[0] in ("dask", "distributed", "tornado"):
            for attribute in names & vars(module).keys():
                value = vars(module)[attribute]
                if value is random or value is getattr(random, attribute):
                    setattr(module, attribute, copy if value is random else getattr(copy, attribute))
