"""How likely some, or all, of k samples pass, of which n were tried."""

from __future__ import annotations

from math import comb

from crystallize.errors import SampleError
from crystallize.stats.samples import as_whole


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate that at least one of k samples passes.

    ``1 - C(n - c, k) / C(n, k)``: the part of the k-subsets of the n samples in which one of the c is that
    passed. (The plug-in ``1 - (1 - c/n)**k`` is biased downwards.)

    Parameters
    ----------
    n, passed : int
        Samples that were tried, and how many of them passed.
    k : int
        How many one would be given, 1 <= k <= n.

    Raises
    ------
    SampleError
        If there are fewer samples than k, or more passed than were tried.

    References
    ----------
    Chen et al. (2021), Evaluating large language models trained on code, section 2.1, arXiv:2107.03374.

    Examples
    --------
    >>> pass_at_k(10, 3, 1), round(pass_at_k(10, 3, 5), 6)
    (0.3, 0.916667)
    """
    n, passed, k = _check(n, passed, k)
    return (comb(n, k) - comb(n - passed, k)) / comb(n, k)


def pass_all_k(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate that all of k samples pass: ``C(c, k) / C(n, k)``.

    Parameters
    ----------
    n, passed, k : int
        As in `pass_at_k`, and so are the errors.

    References
    ----------
    Yao et al. (2024), tau-bench, section 3.3 (pass^k), arXiv:2406.12045.

    Examples
    --------
    >>> pass_all_k(10, 3, 1), round(pass_all_k(10, 8, 5), 6)
    (0.3, 0.222222)
    """
    n, passed, k = _check(n, passed, k)
    return comb(passed, k) / comb(n, k)


def _check(n: int, passed: int, k: int) -> tuple[int, int, int]:
    tried, good, given = as_whole(n), as_whole(passed), as_whole(k)
    if tried is None or given is None or not 1 <= given <= tried:
        raise SampleError(f"k is {k} and there are {n} samples; k lies between 1 and their number")
    if good is None or not 0 <= good <= tried:
        raise SampleError(f"{passed} of {n} samples passed; allowed is a count from 0 to what was tried")
    return tried, good, given
