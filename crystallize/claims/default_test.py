"""The test that is used where a hypothesis names none."""

from __future__ import annotations

from numpy.typing import ArrayLike

from crystallize.claims.stat_test import StatisticalTest
from crystallize.claims.tests_of_means import PairedTTest, WelchTTest
from crystallize.claims.tests_of_rates import BoschlooTest, McNemarTest
from crystallize.stats import is_binary


def default_test(
    baseline: ArrayLike, treatment: ArrayLike, *, paired: bool, kind: str = "auto"
) -> StatisticalTest:
    """Return the test that is used where a hypothesis names none.

    The choice looks at nothing but the pairing and whether every value is 0 or 1.

    Parameters
    ----------
    baseline, treatment : array_like
        One value per replicate.
    paired : bool
        Whether the i-th values of both arms share a seed.
    kind : {"auto", "numeric", "binary"}
        What the values are declared to be, so that not even this is looked at.

    Returns
    -------
    StatisticalTest
        McNemar's or Boschloo's for 0/1 values, else the paired or Welch's t test.

    Examples
    --------
    >>> default_test([0.1, 0.2, 0.3], [0.2, 0.2, 0.4], paired=True).name
    'paired t'
    """
    binary = kind == "binary" or (kind == "auto" and is_binary(baseline) and is_binary(treatment))
    if paired:
        return McNemarTest() if binary else PairedTTest()
    return BoschlooTest() if binary else WelchTTest()
