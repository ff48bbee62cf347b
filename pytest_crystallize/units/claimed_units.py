"""Units of replicates that are claimed one at a time, where several are under way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from crystallize import RunRecord
from crystallize.seam import Unit


class ClaimedUnits:
    """Units of replicates, each claimed when there is room for it, and given back when all of it is run.

    Parameters
    ----------
    claim : callable
        Claims the next replicate; nothing, if somebody has claimed each.
    missing : callable
        Returns the units of a replicate that have to be run.
    release : callable
        Gives a replicate back.
    """

    def __init__(
        self,
        claim: Callable[[], range],
        missing: Callable[[int], Sequence[Unit]],
        release: Callable[[range], object],
    ) -> None:
        self._claim = claim
        self._missing = missing
        self._release = release
        self._left: dict[int, int] = {}
        """How many units are still to end of each replicate that is held."""

    def __iter__(self) -> Iterator[Unit]:
        """Claim replicates as their units are asked for."""
        while claimed := self._claim():
            for replicate in claimed:
                missing = self._missing(replicate)
                self._left[replicate] = len(missing)
                yield from missing
                if not missing:
                    self._give_back(replicate)

    def ended(self, record: RunRecord) -> None:
        """Take in that a unit has ended, and its record is taken care of."""
        self._left[record.replicate] -= 1
        if not self._left[record.replicate]:
            self._give_back(record.replicate)

    def give_back_all(self) -> None:
        """Give back what is still held: the units of it were not all run."""
        for replicate in list(self._left):
            self._give_back(replicate)

    def _give_back(self, replicate: int) -> None:
        del self._left[replicate]
        self._release(range(replicate, replicate + 1))
