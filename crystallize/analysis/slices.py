"""What a claim is in each slice of the cases: shown beside its verdict, deciding nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from crystallize.analysis.case_runs import CaseRuns
from crystallize.analysis.decide import Levels, Tested, claim_of, claim_tested
from crystallize.analysis.second_metric import sample_of
from crystallize.claims.hypothesis import Hypothesis


def by_slice(
    hypothesis: Hypothesis, baseline: CaseRuns, treatment: CaseRuns, slices: Mapping[str, Collection[str]]
) -> dict[str, dict[str, Any]]:
    """Return slice -> ``n``, ``difference``, ``interval`` and, where there is none, the ``reason``.

    Each is by itself, at the level of the claim: of many slices some differ by chance.
    """
    claim, found = claim_of(hypothesis), {}
    level = claim.deciding_level
    for name, ids in slices.items():
        arms = [runs.of_ids(ids) for runs in (baseline, treatment)]
        known: dict[str, Any] = {"n": len(arms[1].ids), "difference": None, "interval": None, "reason": ""}
        sample = sample_of(claim, *arms, by_unit=False)
        if isinstance(sample, str):
            found[name] = {**known, "reason": sample}
            continue
        tested = claim_tested(hypothesis, sample, level=level, planning_level=level, resampled=None)
        shown = tested.verdict(Levels.alone(level, claim.level)) if isinstance(tested, Tested) else tested
        known |= {"n": shown.n or known["n"], "difference": shown.difference, "interval": shown.interval}
        found[name] = known if shown.status != "invalid" else {**known, "reason": shown.reason}
    return found
