"""Claims about values that no seed changes: compared directly."""

from __future__ import annotations

import math
from typing import Final

from crystallize.analysis.reasons import unexceedable
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.verdict import DETERMINISTIC, Verdict
from crystallize.claims.claim import Claim
from crystallize.stats.precision import rounding
from crystallize.text.formatting import effect

_RELATIVE: Final = 1e-12  # of a margin that is a part


def compared_directly(claim: Claim, sample: ClaimSample, names: tuple[str, str]) -> Verdict:
    """Decide a claim about values that no seed changes, without a test.

    Parameters
    ----------
    claim : Claim
        Declared deterministic.
    sample : ClaimSample
        At least one value in each arm.
    names : pair of str
        Of the conditions.
    """
    for values, condition in zip((sample.baseline, sample.treatment), names, strict=True):
        if _change(min(values), max(values)) > rounding(values):
            i = next(i for i, value in enumerate(values) if value != values[0])
            return Verdict.invalid(
                f"declared deterministic, but metric {claim.metric!r} of {condition!r} is {values[0]!r} in "
                f"replicate 0 and {values[i]!r} in replicate {i}; leave deterministic out",
                test=DETERMINISTIC,
            )
    before, after = sample.baseline[0], sample.treatment[0]
    change = _change(before, after)
    if abs(change) <= rounding([before], [after]):
        change = 0.0
    if claim.has_relative_size:
        if before == 0:
            return Verdict.invalid(
                f"metric {claim.metric!r} of {names[0]!r} is 0, of which no part is a margin; use a margin "
                "in the units of the metric (relative=False)",
                test=DETERMINISTIC,
            )
        change /= abs(before)
    margin = claim.size or 0.0
    noise = rounding([before], [after]) if not claim.has_relative_size else _RELATIVE * margin
    slack = margin + noise
    least = 0.0 if claim.at_least is None else claim.at_least - noise
    holds = {
        "increase": change > 0 and change >= least,
        "decrease": change < 0 and change <= -least,
        "differ": change != 0,
        "equal": abs(change) <= slack,
        "no_decrease": change >= -slack,
        "no_increase": change <= slack,
    }[claim.direction]
    shown = effect(change, relative=claim.has_relative_size)
    limit = effect(margin, relative=claim.has_relative_size, sign=False)
    against = f", beyond the margin {limit}" if claim.margin is not None else ""
    against = f", less than the {limit} claimed" if claim.at_least is not None else against
    return Verdict(
        status="supported" if holds else "refuted",
        reason="" if holds else f"{claim.metric} changes by {shown}{against}",
        test=DETERMINISTIC,
        estimand="relative change" if claim.has_relative_size else "",
        difference=change,
        interval=(change, change),
        population="this data set",
        caveat=unexceedable(claim, sample),
        details={"significant": holds, "accepted": holds, "difference": change, "test": DETERMINISTIC},
    )


def _change(before: float, after: float) -> float:
    """Return the difference, of whole numbers the exact one; infinite beyond floats."""
    if not (isinstance(before, int) or isinstance(after, int)):  # these are as exact as floats can be
        return after - before
    if not (float(before).is_integer() and float(after).is_integer()):
        return float(after) - float(before)
    change = int(after) - int(before)
    try:
        return float(change)
    except OverflowError:
        return math.inf if change > 0 else -math.inf
