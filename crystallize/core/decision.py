"""What a hypothesis makes of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["supported", "refuted", "inconclusive", "invalid"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a hypothesis makes of complete samples.

    Attributes
    ----------
    status : str
        ``"supported"``, ``"refuted"``, ``"inconclusive"`` or ``"invalid"``.
    reason : str
        Why, in a sentence; empty where the status says it all.
    p_value : float or None
        The p-value, where there is one.
    test : str
        The test's name.
    difference : float or None
        Estimate of treatment minus baseline, where the test makes one.
    interval : pair of float or None
        Its confidence interval at level 1 - alpha.
    degenerate : bool
        Whether the sample has no variance, so that the p-value rests on counting alone.
    details : mapping
        Everything that the verifier returned.
    """

    status: Status
    reason: str = ""
    p_value: float | None = None
    test: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    degenerate: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
