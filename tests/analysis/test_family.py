"""Claims that are judged together: verdicts, and the intervals beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from recorded import arm, arms, experiment

from crystallize import (
    AnytimeValid,
    BoschlooTest,
    Experiment,
    GroupSequential,
    Hypothesis,
    McNemarTest,
    WilcoxonTest,
    evaluate,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import holm

DIRECTIONS = ["increase", "decrease", "differ", "no_decrease", "no_increase", "equal"]


def verdicts(claims, baseline, treatments, **judging):
    runs = {"baseline": arm("baseline", baseline)}
    runs |= {name: arm(name, values) for name, values in treatments.items()}
    plan = AnalysisPlan(tuple(claims), tuple(treatments), len(baseline), Judging(**judging))
    analysis = Analysis(plan, runs)
    return {(c, t): analysis.verdict(c, t) for c in claims for t in treatments}


def contradiction(claim, verdict):
    """Say how an interval contradicts the verdict beside it; None if it does not."""
    low, high = verdict.interval
    direction, margin = verdict.direction, verdict.margin
    if direction == "equal":
        inside, beyond = low >= -margin and high <= margin, low >= margin or high <= -margin
    else:
        null = {"no_decrease": -1, "no_increase": 1}.get(direction, 0) * (margin or 0)
        above, below = low >= null, high <= null
        up = direction in ("increase", "no_decrease")
        inside, beyond = (above, below) if up else (below, above)
        if direction == "differ":
            inside, beyond = above or below, False
    expected = {"supported": inside, "refuted": beyond}.get(verdict.status, _open(verdict))
    return None if expected else f"{verdict.status} {direction} beside [{low}, {high}]"


def _open(verdict):
    low, high = verdict.interval
    margin = verdict.margin
    if verdict.direction == "equal":
        return high >= margin or low <= -margin
    null = {"no_decrease": -1, "no_increase": 1}.get(verdict.direction, 0) * (margin or 0)
    return low <= null <= high


numeric = st.lists(st.sampled_from([-2.0, -0.5, 0.1, 0.3, 0.7, 1.5, 4.0]), min_size=8, max_size=8)
binary = st.lists(st.integers(0, 1), min_size=8, max_size=8)


@pytest.mark.parametrize("correction", ["holm", "bh", "none"])
@pytest.mark.parametrize("kind", [numeric, binary])
@given(data=st.data())
@examples(25)
def test_no_interval_contradicts_the_verdict_beside_it(correction, kind, data):
    """Of any claim, however many there are, one- or two-sided, with scores beside exact p-values."""
    claims = [
        Hypothesis(
            metric="x",
            direction=direction,
            name=f"{direction} {i}",
            **({} if direction in DIRECTIONS[:3] else {"margin": 0.4}),
            **({"alternative": "one-sided"} if i and direction in DIRECTIONS[:2] else {}),
        )
        for direction in DIRECTIONS
        for i in range(2)
    ]
    found = verdicts(
        claims, data.draw(kind), {"t": data.draw(kind), "u": data.draw(kind)}, correction=correction
    )
    for (claim, _), verdict in found.items():
        assert contradiction(claim, verdict) is None


@pytest.mark.parametrize("test", [WilcoxonTest(), BoschlooTest(), McNemarTest()])
@given(data=st.data())
@examples(25)
def test_no_interval_of_other_tests_does(test, data):
    """Ranks may be unbalanced where the median is 0; their sign is that of the statistic."""
    kind = numeric if isinstance(test, WilcoxonTest) else binary
    claims = [Hypothesis(metric="x", direction=d, statistical_test=test) for d in DIRECTIONS[:3]]
    for (claim, _), verdict in verdicts(claims, data.draw(kind), {"t": data.draw(kind)}).items():
        assert contradiction(claim, verdict) is None


def test_the_level_of_an_interval_is_that_at_which_its_claim_was_decided():
    """Holm compares the smallest of three p-values with alpha/3, the next with alpha/2."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 20))
    noise -= noise.mean(axis=1, keepdims=True)
    treatments = {
        name: (shift + row).tolist() for name, shift, row in zip("abc", (2.0, 0.6, 0.1), noise, strict=True)
    }
    claim = Hypothesis(metric="x", direction="increase")
    found = verdicts([claim], [0.0] * 20, treatments)
    levels = {name: found[claim, name].confidence for name in treatments}
    assert [found[claim, name].status for name in "abc"] == ["supported", "supported", "inconclusive"]
    assert levels == pytest.approx({"a": 1 - 0.05 / 3, "b": 1 - 0.05 / 2, "c": 0.95})


@pytest.mark.parametrize("claims", [1, 11, 22, 44])
def test_a_share_of_alpha_is_significant(claims):
    """.05/m times m is rounded above .05 for some m: what is compared is p with .05/m."""
    assert holm([0.05 / claims] + [1.0] * (claims - 1))[0] <= 0.05
    assert holm([np.nextafter(0.05 / claims, 1)] + [1.0] * (claims - 1))[0] > 0.05


def test_guards_are_refuted_at_the_level_of_them_all():
    """Twelve guards of which one seems violated at p = .02: each has to hold, but that is chance."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=20)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    t = 2.2 / 20**0.5  # one-sided p = .02
    treatments = {f"t{i}": (rng.normal(size=20) * 0.1).tolist() for i in range(11)}
    treatments["worse"] = (noise - t - 0.5).tolist()
    claim = Hypothesis(metric="x", direction="no_decrease", margin=0.5)
    assert verdicts([claim], [0.0] * 20, {"worse": treatments["worse"]})[claim, "worse"].status == "refuted"
    found = verdicts([claim], [0.0] * 20, treatments)
    assert found[claim, "worse"].status == "inconclusive"
    assert found[claim, "t0"].status == "supported"


def test_treatments_are_ranked_by_evidence_in_the_claimed_direction():
    """The one that does harm for sure comes last, not first."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(3, 12))
    made = {
        name: (shift + row).tolist()
        for name, shift, row in zip(("harm", "none", "good"), (-9, 0, 1), noise, strict=True)
    }
    claim = Hypothesis(metric="x", direction="increase")
    result = experiment([0.0] * 12, [claim], **made)().run()
    assert result.hypotheses[0].ranking == ["good", "none", "harm"]


def test_anytime_valid_refuses_what_it_can_t_reach():
    """Before the first run: not even a perfect result would do."""
    log = []
    make = experiment([0.0] * 6, [Hypothesis(metric="x", direction="increase")], a=[1.0] * 6, b=[1.0] * 6)
    with pytest.raises(DefinitionError, match=r"can't reach alpha = 0\.05 / 2 claims; plan at least 7"):
        make(replicates=5, stopping=AnytimeValid(g=0.5)).run()
    assert log == []
    assert isinstance(make(replicates=7, stopping=AnytimeValid(g=0.5)), Experiment)


def test_harm_is_not_hidden_by_futility():
    """Looks go on while harm is likely to be shown, and end with REFUTED."""
    noise = np.random.default_rng(5).normal(size=30)
    harm = (noise - noise.mean() - 1.0).tolist()
    judging = Judging(stopping=GroupSequential())
    verdict = evaluate(Hypothesis(metric="x", direction="increase"), *arms([0.0] * 30, harm), judging=judging)
    assert verdict.status == "refuted"
    nothing = (noise - noise.mean()).tolist()
    verdict = evaluate(
        Hypothesis(metric="x", direction="increase"), *arms([0.0] * 30, nothing), judging=judging
    )
    assert verdict.status == "inconclusive"
    assert verdict.look < verdict.looks
