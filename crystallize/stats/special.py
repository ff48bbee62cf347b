"""Functions of `scipy.special`, which is imported when the first of them is used.

That takes longer than to import everything of ours, and a process that shows verdicts needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scipy.special import bdtr as bdtr
    from scipy.special import bdtrc as bdtrc
    from scipy.special import betaincinv as betaincinv
    from scipy.special import betaln as betaln
    from scipy.special import chdtri as chdtri
    from scipy.special import cython_special as cython_special
    from scipy.special import gammaln as gammaln
    from scipy.special import geterr as geterr
    from scipy.special import ndtr as ndtr
    from scipy.special import ndtri as ndtri
    from scipy.special import seterr as seterr
    from scipy.special import stdtr as stdtr
    from scipy.special import xlog1py as xlog1py
    from scipy.special import xlogy as xlogy


def load_scipy() -> None:
    """Import it now: what is imported while runs are watched may be taken for what they do."""
    import_module("scipy.special.cython_special")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'crystallize.stats.special' has no attribute {name!r}")
    package = import_module("scipy.special")
    value = globals()[name] = (
        import_module("scipy.special.cython_special") if name == "cython_special" else getattr(package, name)
    )
    return value
