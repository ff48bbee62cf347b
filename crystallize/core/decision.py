"""What a hypothesis makes of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["supported", "refuted", "inconclusive", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a hypothesis makes of samples.

    Attributes
    ----------
    status : str
        ``"supported"``, ``"refuted"``, ``"inconclusive"`` or ``"invalid"``.
    reason : str
        Why, and what to do about it; empty where the status says it all.
    p_value : float or None
        The p-value, where there is one.
    adjusted_p : float or None
        The same, corrected for the number of claims, where it is.
    level : float or None
        What the p-value (the adjusted one, if there is one) is compared with.
    test : str
        The test's name.
    estimand : str
        What `difference` estimates, where it is not a difference of means.
    difference : float or None
        Estimate of treatment minus baseline, where the test makes one.
    interval : pair of float or None
        Its confidence interval.
    confidence : float or None
        The interval's level.
    detectable : float or None
        The smallest difference that would have been found with probability .8 in samples that vary like
        these.
    degenerate : bool
        Whether the sample has no variance, so that the p-value rests on counting alone.
    n : int or None
        Replicates used, where it is not all of them.
    omitted : int
        Replicates left out for lack of a value.
    population : str
        What the verdict speaks of.
    caveat : str
        What the verdict relies on, where that is worth saying.
    look, looks : int
        At which look of how many the claim was decided, from 1; 0 without early stopping.
    details : mapping
        Everything that the verifier returned.
    """

    status: Status
    reason: str = ""
    p_value: float | None = None
    adjusted_p: float | None = None
    level: float | None = None
    test: str = ""
    estimand: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float | None = None
    detectable: float | None = None
    degenerate: bool = False
    n: int | None = None
    omitted: int = 0
    population: str = ""
    caveat: str = ""
    look: int = 0
    looks: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
