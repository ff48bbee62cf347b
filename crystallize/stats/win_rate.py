"""Win rate of paired ratings: how often the treatment is the better one, ties counted half."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from crystallize.stats.comparison import Comparison
from crystallize.stats.precision import as_paired_arms
from crystallize.stats.result import Alternative, TestResult
from crystallize.stats.samples import Sample, check_compare, checked_options
from crystallize.stats.t import paired_t

_NAME: Final = "win rate"


def win_rate(
    baseline: ArrayLike,
    treatment: ArrayLike,
    *,
    compare: Comparison = paired_t,
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    shift: float = 0.0,
) -> TestResult:
    r"""Test how often the treatment's value of a pair is the larger one against one half.

    A pair scores 1 for a win, 1/2 for a tie and 0 for a loss. The null hypothesis is that the mean score is
    1/2 + `shift`, tested by `compare` on the scores.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers, of which only the order in each pair counts: ratings, ranks, preferences.
    compare : callable
        `paired_t` or another test of means of pairs; options of its own are bound with functools.partial.
    alternative : {"two-sided", "greater", "less"}
        The claim about the win rate against 1/2 + `shift`.
    alpha : float
        The interval has level 1 - alpha and is two-sided under every alternative.
    shift : float
        Under the null hypothesis, in (-1/2, 1/2).

    Returns
    -------
    TestResult
        `estimate` is the win rate, in [0, 1]; the interval is cut there.

    Raises
    ------
    SampleError
        As `compare` does, or if the shift is out of its range.

    Notes
    -----
    The t test of scores keeps its level with ties (at most .058 for .05 from n = 10 on); McNemar's mid-p of
    wins and losses alone can't be moved to a margin.

    Examples
    --------
    Six wins, two ties and one loss:

    >>> result = win_rate([3, 2, 4, 3, 3, 2, 1, 4, 2], [4, 4, 5, 3, 5, 3, 2, 4, 1])
    >>> round(result.estimate, 4), round(result.p_value, 4)
    (0.7778, 0.0509)
    """
    alpha, shift = checked_options(_NAME, alternative, alpha, shift, below=0.5)
    check_compare(_NAME, compare)
    scores = win_scores(baseline, treatment)
    result = compare(np.zeros(scores.size), scores, alternative=alternative, alpha=alpha, shift=shift)
    low, high = (min(max(0.5 + end, 0.0), 1.0) for end in result.interval)
    return replace(
        result,
        test=f"{_NAME}, {result.test}",
        estimate=0.5 + result.estimate,
        interval=(low, high),
        null=0.5 + shift,
        origin=0.5,
        estimand=_NAME,
    )


def win_scores(baseline: ArrayLike, treatment: ArrayLike) -> Sample:
    """Return the score of each pair less 1/2; differences that rounding makes are ties.

    Parameters
    ----------
    baseline, treatment : array_like, shape (n,)
        Finite numbers; the i-th values belong together.

    Examples
    --------
    >>> win_scores([1, 2, 3], [2, 2, 1]).tolist()
    [0.5, 0.0, -0.5]
    """
    scores: Sample = np.sign(as_paired_arms(_NAME, baseline, treatment, minimum=1).differences) / 2
    return scores
