"""The looks that a verdict tells of."""

import pytest

from crystallize import AnytimeValid, GroupSequential, Hypothesis
from crystallize.analysis.analysis import evaluate
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.claims.policy import Judging
from crystallize.context.record import RunRecord
from crystallize.context.recording import MetricEntry

INCREASE = Hypothesis(metric="m", direction="increase")


def arm(condition, values):
    records = [
        RunRecord(condition, i, seed=i, metrics=(MetricEntry("m", value, None, False, "step"),))
        for i, value in enumerate(values)
    ]
    return ConditionRuns(condition, records)


def verdict(differences, judging, hypothesis=INCREASE):
    base = [float(i) for i in range(len(differences))]
    moved = [value + difference for value, difference in zip(base, differences, strict=True)]
    return evaluate(hypothesis, arm("baseline", base), arm("t", moved), judging=judging)


UNDECIDED = [0.4 * (-1) ** i + 0.1 * (i % 3) for i in range(30)]
LARGE = [2.0 + 0.1 * (i % 3) for i in range(30)]


def test_each_look_is_told_with_the_level_of_its_boundary():
    """The levels are those of the boundaries, and the last p-value is the verdict's."""
    stopping = GroupSequential(futility=False)
    found = verdict(UNDECIDED, Judging(stopping=stopping))
    levels = stopping.boundaries(30, 0.05, "two-sided").levels
    assert [(n, level) for n, _, level in found.trail] == list(zip(stopping.sizes(30), levels, strict=True))
    assert found.trail[-1][1] == found.p_value
    assert found.look == len(found.trail) == 5


def test_no_look_behind_the_deciding_one_is_told():
    """The trail ends where the experiment could have stopped."""
    found = verdict(LARGE, Judging(stopping=GroupSequential()))
    assert found.status == "supported"
    assert len(found.trail) == found.look < 5
    n, p_value, level = found.trail[-1]
    assert p_value <= level
    assert n == found.n


def test_anytime_valid_looks_share_a_level():
    """An e-process is compared with alpha itself, however often."""
    found = verdict(UNDECIDED, Judging(stopping=AnytimeValid(every=10)))
    assert [(n, level) for n, _, level in found.trail] == [(10, 0.05), (20, 0.05), (30, 0.05)]


@pytest.mark.parametrize(
    ("judging", "hypothesis"),
    [
        (Judging(), INCREASE),
        (
            Judging(stopping=GroupSequential()),
            Hypothesis(verifier=lambda b, t: {"p_value": 1.0, "significant": False}, metrics="m", name="own"),
        ),
    ],
)
def test_without_looks_there_is_no_trail(judging, hypothesis):
    """Neither a test of all replicates at once nor a verifier looks."""
    assert verdict(LARGE, judging, hypothesis).trail == ()
