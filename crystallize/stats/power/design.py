"""What a design has to tell for its power to be searched."""

from __future__ import annotations

from typing import Protocol

from crystallize.stats.result import Alternative


class Design(Protocol):
    """Design of a comparison of two conditions, with the nuisance parameters that its power depends on.

    Examples
    --------
    >>> from crystallize.stats.power import PairedT, power, replicates
    >>> design = PairedT(sd=1.0)
    >>> replicates(design, effect=0.5), round(power(design, 34, effect=0.5), 3)
    (34, 0.808)
    """

    @property
    def name(self) -> str:
        """Display name."""

    @property
    def minimum_n(self) -> int:
        """The fewest pairs, or values per arm, that the test takes."""

    @property
    def steady(self) -> bool:
        """Whether power never falls as n grows; that of exact tests moves in a sawtooth."""

    def largest_effect(self, *, decrease: bool) -> float:
        """Return the largest effect there is, as a positive number; infinite where nothing limits it."""

    def power(self, n: float, effect: float, *, alpha: float, alternative: Alternative) -> float:
        """Return the probability of rejection with n pairs, or n values per arm."""

    def __hash__(self) -> int:
        """Hash the design by its values."""
