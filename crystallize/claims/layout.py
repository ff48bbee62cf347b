"""How the values of a sample belong together, for tests that follow the design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from crystallize.errors import SampleError
from crystallize.stats import Comparison, crossed_t, paired_t, resampled_t, welch_t


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of a sample: how its values belong together, and what is asked of them.

    Attributes
    ----------
    paired : bool
        Whether the i-th values share a seed.
    units : pair of sequences or None
        The unit of each value.
    replicates : sequence or None
        The replicate of the i-th values, where units are crossed with replicates.
    test_fraction : float or None
        Part of the data set that each replicate holds out, if they are resplits.
    number : float or None
        What one sample is compared with.
    relative : bool
        Whether sizes are parts of what the baseline has.
    """

    paired: bool = True
    units: tuple[Sequence[Any], Sequence[Any]] | None = None
    replicates: Sequence[int] | None = None
    test_fraction: float | None = None
    number: float | None = None
    relative: bool = False

    @property
    def means(self) -> Comparison:
        """The test of means that the design has by default."""
        if self.units is not None and self.replicates is not None:
            return partial(crossed_t, units=self.units[0], replicates=self.replicates)
        if self.test_fraction is not None:
            return partial(resampled_t, test_fraction=self.test_fraction)
        return paired_t if self.paired else welch_t

    def refuse_parts(self, test: str, statistic: str) -> None:
        """Refuse a layout in which a replicate has more than one value, or shares its data with others.

        Raises
        ------
        SampleError
            If so; it says how the claim can be made.
        """
        if self.units is not None or self.test_fraction is not None:
            raise SampleError(
                f"{test}: it takes one value of each replicate, or unit; record the {statistic} of each "
                "replicate as a metric, and compare its mean"
            )
