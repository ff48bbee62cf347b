"""Samples of two metrics side by side: numerators with denominators, values with a covariate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from crystallize.analysis.columns import mean
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.condition_samples import claim_sample
from crystallize.analysis.sample import ClaimSample
from crystallize.claims.claim import Claim


def sample_of(
    claim: Claim, baseline: ConditionRuns, treatment: ConditionRuns, **options: Any
) -> ClaimSample | str:
    """Return the sample of a claim with that of its second metric beside it, or say why there is none.

    The parameters are those of `claim_sample`.
    """
    arms = baseline, treatment
    if claim.second is None:
        return claim_sample(claim, *arms, **options)
    if claim.per is not None:
        arms = tuple(arm.with_totals((claim.metric, claim.per)) for arm in arms)  # type: ignore[assignment]
    first = claim_sample(replace(claim, per=None, covariate=None), *arms, **options)
    beside = claim_sample(replace(claim, metric=claim.second, per=None, covariate=None), *arms, **options)
    if isinstance(first, str) or isinstance(beside, str):
        return first if isinstance(first, str) else str(beside)
    if _layout(first) != _layout(beside):
        return (
            f"metrics {claim.metric!r} and {claim.second!r} are recorded with other units, or of other "
            "replicates; record both of each"
        )
    return replace(first, beside=(beside.baseline, beside.treatment), binary_elsewhere=False, of_rates=False)


def _layout(sample: ClaimSample) -> tuple[Any, ...]:
    sizes = len(sample.baseline), len(sample.treatment)
    return sizes, sample.paired, sample.population, sample.units, sample.replicates


def ratio_of(runs: ConditionRuns, claim: Claim) -> float | None:
    """Return the ratio of the totals of a claim's metrics in a condition; None where there is none."""
    assert claim.per is not None
    columns = []
    for metric in (claim.metric, claim.per):
        values = runs.with_totals((metric,)).column(metric)
        if not values or None in values:
            return None
        columns.append([value for value in values if value is not None])
    try:
        totals = list(map(math.fsum, columns))
    except OverflowError:  # the means, which are floats where their values are, have the same ratio
        totals = list(map(mean, columns))
    return totals[0] / totals[1] if totals[1] else None
