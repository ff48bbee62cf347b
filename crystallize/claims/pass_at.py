"""Claims about how likely some, or all, of k samples of a case pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.stats.pass_at import pass_all_k, pass_at_k


@dataclass(frozen=True, slots=True)
class PassAt:
    """The metric of a claim: how likely at least one of k samples of a case passes.

    Each case is estimated without bias from its samples (`crystallize.stats.pass_at_k`); the claim is about
    the mean over cases.

    Parameters
    ----------
    k : int
        How many samples, at most the `samples` of the experiment.
    metric : str
        The metric, 0 or 1, that says whether a sample passes.

    Raises
    ------
    DefinitionError
        If k is no integer >= 1, or the metric has no name.

    Examples
    --------
    >>> from crystallize import Hypothesis
    >>> Hypothesis(metric=PassAt(3, "solved"), direction="increase", name="solved_in_three").name
    'solved_in_three'
    """

    k: int
    metric: str = "correct"
    _word: ClassVar[str] = "pass@"

    def __post_init__(self) -> None:
        make_plain(self)
        kind = type(self).__name__
        if type(self.k) is not int or self.k < 1:
            raise DefinitionError(f"{kind}({self.k!r}): k is an integer >= 1")
        if not isinstance(self.metric, str) or not self.metric:
            raise DefinitionError(f"{kind}({self.k}, {self.metric!r}): give the name of a metric of 0 and 1")

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.k}, {self.metric!r})"

    @property
    def name(self) -> str:
        """Name of the metric that it makes."""
        return f"{self.metric} {self._word}{self.k}"

    def estimate(self, values: Sequence[Any]) -> float:
        """Return the estimate for one case; nan where a sample is neither 0 nor 1, or too few are there."""
        if len(values) < self.k or any(value not in (0, 1) for value in values):
            return math.nan
        return self._of_counts(len(values), sum(map(int, values)))

    def _of_counts(self, n: int, passed: int) -> float:
        return pass_at_k(n, passed, self.k)


@dataclass(frozen=True, slots=True)
class PassAll(PassAt):
    """The metric of a claim: how likely all of k samples of a case pass; see `PassAt`.

    Parameters
    ----------
    k, metric
        As for `PassAt`.

    Examples
    --------
    >>> from crystallize import Hypothesis
    >>> Hypothesis(metric=PassAll(3, "safe"), direction="no_decrease", margin=0.02, name="always_safe").name
    'always_safe'
    """

    _word: ClassVar[str] = "pass^"

    def _of_counts(self, n: int, passed: int) -> float:
        return pass_all_k(n, passed, self.k)
