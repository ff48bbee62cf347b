"""The test of trimmed means, on request: it speaks of something else than the mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from crystallize.claims.layout import Layout
from crystallize.claims.stat_test import BuiltInTest
from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError, SampleError
from crystallize.stats import Comparison, fewest_to_trim, yuen_t


@dataclass(frozen=True, slots=True)
class YuenTest(BuiltInTest):
    """Yuen's t test of trimmed means, of pairs or of independent samples; see `crystallize.stats.yuen_t`.

    It speaks of the mean of the middle values, which a few wild ones do not move.

    Parameters
    ----------
    trim : float
        Part of the values that is trimmed at each end, in (0, .25]. One at least has to be: of .2, five
        replicates are the fewest.

    Raises
    ------
    DefinitionError
        If it is none.

    Examples
    --------
    >>> before = [3.1, 2.9, 3.0, 3.2, 9.9, 3.1]
    >>> after = [3.4, 3.1, 3.3, 3.6, 3.3, 3.4]
    >>> result = YuenTest(trim=0.2).compare(before, after, alternative="two-sided")
    >>> round(result.estimate, 3), round(result.p_value, 4)
    (0.25, 0.019)
    """

    name: ClassVar[str] = "Yuen t"
    paired = False  # it takes either
    tests_relative_margins: ClassVar[bool] = False
    follows_design: ClassVar[bool] = True

    trim: float = 0.2

    def __post_init__(self) -> None:
        make_plain(self)
        try:
            fewest_to_trim(self.trim)
        except SampleError as error:
            raise DefinitionError(str(error)) from None

    @property
    def minimum_n(self) -> int:  # type: ignore[override]
        """Number of values of which one is trimmed at each end."""
        return fewest_to_trim(self.trim)

    @property
    def takes_one_sample(self) -> bool:
        """Whether pairs of a value and one constant are a sample that it can take."""
        return True

    def comparison(self, layout: Layout) -> Comparison:
        """Return the comparison of pairs, or of independent samples."""
        layout.refuse_parts("Yuen t", "trimmed mean")
        return partial(yuen_t, trim=self.trim, paired=layout.paired)
