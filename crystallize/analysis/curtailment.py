"""Looks at rates that are decided already: whatever the replicates to come give, the verdict is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from crystallize.analysis.claim_test import Outcome, tested
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.verdict import Status, Verdict
from crystallize.claims.claim import Claim

_DIRECTIONS: Final = ("increase", "decrease", "no_decrease", "no_increase")


def certain_status(
    outcome: Outcome, sizes: Sequence[int], levels: Sequence[float], mirror_levels: Sequence[float]
) -> Status | None:
    """Return the status that a claim about a rate will have, whatever the replicates to come give.

    Parameters
    ----------
    outcome : Outcome
        At this look, at which it is open.
    sizes : sequence of int
        Replicates at the looks to come.
    levels, mirror_levels : sequence of float
        Nominal levels of the claim, and of its opposite, at these.

    Returns
    -------
    str or None
        None if it is open; if no rate is claimed of with a side, since then no order of outcomes is the
        worst; or if neither ``kind="binary"`` nor the test says that the values to come are 0 and 1 as well.
    """
    claim, sample = outcome.claim, outcome.sample
    if not outcome.test.of_rates or claim.direction not in _DIRECTIONS or sample.units is not None:
        return None
    if claim.kind != "binary" and claim.test is None:
        return None
    if sizes[-1] - sample.n >= sample.n:
        return None  # as many again may turn anything
    up = claim.claimed == "greater"
    looks = list(zip(sizes, levels, mirror_levels, strict=True))[::-1]  # the last one decides most
    best, worst = (_extended(claim, sample, sizes[-1] - sample.n, side) for side in (up, not up))
    if best is None or worst is None:
        return None
    holds = worst.p_value <= levels[-1] and worst.is_claimed
    if holds and claim.detects is None:
        return "supported"
    if best.mirror_p <= mirror_levels[-1] and best.is_opposed:
        return "refuted"
    for size, level, mirror_level in looks:
        if size < sizes[-1]:
            best, worst = (_extended(claim, sample, size - sample.n, side) for side in (up, not up))
        if best is None or worst is None or (not holds and best.p_value <= level and best.is_claimed):
            return None
        if worst.mirror_p <= mirror_level and worst.is_opposed:
            return None
    return "no harm shown" if holds else "inconclusive"  # an alarm holds if it is not refuted, too


def _extended(claim: Claim, sample: ClaimSample, more: int, up: bool) -> Outcome | None:
    """Return what comes out if all replicates to come differ, and in one direction."""
    before, after = (0.0, 1.0) if up else (1.0, 0.0)
    if sample.number is not None:
        before = sample.number
    longer = replace(
        sample,
        baseline=[*sample.baseline, *[before] * more],
        treatment=[*sample.treatment, *[after] * more],
    )
    outcome = tested(claim, longer, level=claim.level, planning_level=1.0, resampled=None)
    return None if isinstance(outcome, Verdict) else outcome
