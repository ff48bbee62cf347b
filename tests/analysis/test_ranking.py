"""Treatments in the order of a ranker."""

import math

import pytest
from recorded import arm

from crystallize import Hypothesis, evaluate
from crystallize.analysis.ranking import rank
from crystallize.errors import CrystallizeWarning


def supported(baseline, treatment):
    return {"p_value": 0.01, "significant": True}


def verdicts(*complete):
    """Return verdicts on treatments, invalid ones where the runs of one are not complete."""
    return {
        f"t{i}": evaluate(
            Hypothesis(supported, "x"),
            arm("baseline", [1.0, 2.0]),
            arm(f"t{i}", [2.0, 3.5 if whole else math.nan]),
        )
        for i, whole in enumerate(complete)
    }


def test_treatments_are_ranked_smallest_first():
    """Ties keep their order; invalid verdicts, nan and whatever the ranker can't rank come last."""
    scores = iter([2, 1, math.nan, 1])
    hypothesis = Hypothesis(supported, "x", lambda result: next(scores))
    assert rank(hypothesis, verdicts(1, 1, 1, 0, 1)) == ["t1", "t4", "t0", "t2", "t3"]


def test_a_ranker_that_fails_is_warned_about():
    """The warning names hypothesis and treatment, and the others are ranked."""

    def ranker(result):
        raise KeyError("effect")

    with pytest.warns(
        CrystallizeWarning, match="ranker of hypothesis 'h' raised KeyError: 'effect' for 't0'"
    ):
        assert rank(Hypothesis(supported, "x", ranker, "h"), verdicts(1)) == ["t0"]
