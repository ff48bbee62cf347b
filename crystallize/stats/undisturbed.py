"""Numbers that depend on the data alone, not on how a process has set up numpy, scipy and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from crystallize.stats import special

_PRINTING = dict.fromkeys(np.get_printoptions()) | {  # later versions of numpy add some
    "precision": 8,
    "threshold": 1000,
    "edgeitems": 3,
    "linewidth": 75,
    "suppress": False,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "formatter": None,
    "floatmode": "maxprec",
    "legacy": False,
}
"""As numpy starts with them."""


@cache
def _errors() -> dict[str, Any]:
    """Return what scipy does about errors when it starts."""
    return {kind: "raise" if kind == "memory" else "ignore" for kind in special.geterr()}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as in a fresh process: no rounding raises or warns, and arrays print as they do by default.

    Also a decorator. A verifier's warnings to its user get out, those of the libraries do not.
    """
    printing, errors = np.get_printoptions(), special.geterr()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", module=r"(crystallize|numpy|scipy)(\.|$)")
        if printing != _PRINTING:  # to set them takes far longer than to look, and verdicts are many
            np.set_printoptions(**_PRINTING)
        if errors != _errors():
            special.seterr(**_errors())
        try:
            yield
        finally:
            if np.get_printoptions() != printing:
                np.set_printoptions(**printing)
            if special.geterr() != errors:
                special.seterr(**errors)
