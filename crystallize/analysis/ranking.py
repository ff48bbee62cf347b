"""Treatments in the order of what a hypothesis's ranker gives for their verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from crystallize.analysis.verdict import Verdict
from crystallize.boundary import failure
from crystallize.claims.hypothesis import Hypothesis
from crystallize.text.warned import warn


def rank(hypothesis: Hypothesis, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the treatments by the hypothesis's ranker, smallest first; those without a rank come last."""
    scores = {treatment: score(hypothesis, verdict) for treatment, verdict in verdicts.items()}
    return ranked(scores)


def score(hypothesis: Hypothesis, verdict: Verdict) -> float | None:
    """Return what the ranker gives for a verdict; None for an invalid one, or if it raises."""
    if verdict.status == "invalid":
        return None
    try:
        found = hypothesis.rank(verdict.summary())
    except BaseException as error:
        warn(
            f"the ranker of hypothesis {hypothesis.name!r} raised {failure(error)} for "
            f"{verdict.treatment!r}, which is ranked last"
        )
        return None
    return None if math.isnan(found) else found


def ranked(scores: Mapping[str, float | None]) -> list[str]:
    """Return names by their scores, smallest first; those without one come last, in their order."""
    return sorted(scores, key=lambda name: (scores[name] is None, scores[name] or 0.0))
