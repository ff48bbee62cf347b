"""Alpha that is split over the claims of several experiments."""

import pytest
from recorded import arm

from crystallize import GroupSequential, Hypothesis
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.policy import Judging
from crystallize.errors import SampleError
from crystallize.stats import adjust, benjamini_hochberg, holm

NOISE = [0.3, -0.9, 1.2, -0.4, 0.8, -1.1, 0.5, -0.4, 0.7, -0.7]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def judged(hypotheses, claims, *, correction="holm", stopping=None, **treatments):
    """Return the verdicts of an experiment whose claims are some of so many."""
    plan = AnalysisPlan(
        tuple(hypotheses), tuple(treatments), 10, Judging(correction, stopping), claims=claims
    )
    runs = {name: arm(name, [by + e for e in NOISE]) for name, by in treatments.items()}
    analysis = Analysis(plan, {"baseline": arm("baseline", [0.0] * 10), **runs})
    return [analysis.verdict(h, name) for h in hypotheses for name in treatments]


def test_an_experiment_has_the_share_of_its_claims():
    """Two of forty: Holm within at a twentieth of alpha."""
    alone = judged([claim()], None, a=0.7, b=0.8)
    shared = judged([claim()], 40, a=0.7, b=0.8)
    for one, other in zip(alone, shared, strict=True):
        assert other.adjusted_p == pytest.approx(20 * one.adjusted_p)
        assert (other.family, one.family) == (40, 2)
        assert (other.interval[0] > 0) == (other.status == "supported")
    assert [verdict.status for verdict in alone] == ["supported", "supported"]
    assert [verdict.status for verdict in shared] == ["inconclusive", "inconclusive"]


@pytest.mark.parametrize("by", [-0.6, -1.0, -2.0])
def test_a_single_claim_is_one_of_many(by):
    """Its opposite, too; and the harm of guards."""
    for hypothesis in (claim(), claim("no_decrease", margin=0.1), claim("no_decrease", detects=0.5)):
        (alone,), (shared,) = judged([hypothesis], None, t=by), judged([hypothesis], 40, t=by)
        if alone.status == "refuted":
            assert shared.status in ("refuted", "inconclusive")
        if shared.status == "refuted":
            assert shared.opposite_p == pytest.approx(40 * alone.opposite_p)


def test_looks_have_their_share():
    """Of alpha, at each."""
    verdict = judged([claim()], 40, stopping=GroupSequential(), t=2.0)[0]
    assert verdict.status == "supported"
    assert (verdict.correction, verdict.family) == ("bonferroni", 40)
    assert verdict.level < 0.05 / 40


def test_pairs_have_their_share():
    """Six of forty."""
    hypothesis = claim("differ", pairwise=True)
    runs = {"baseline": arm("baseline", NOISE[3:] + NOISE[:3]), "a": arm("a", [e + 0.9 for e in NOISE])}
    runs["b"] = arm("b", [e + 1.5 for e in NOISE[6:] + NOISE[:6]])
    alone, shared = (
        Analysis(AnalysisPlan((hypothesis,), ("a", "b"), 10, claims=n), runs).verdict(
            hypothesis, "b-vs-baseline"
        )
        for n in (None, 40)
    )
    assert shared.adjusted_p == pytest.approx(min(1, alone.adjusted_p * 40 / 3), rel=1e-6)
    assert shared.correction == "max-t"


def test_nothing_is_split_that_is_not_corrected():
    """As declared."""
    assert judged([claim()], 40, correction="none", t=1.0)[0].adjusted_p is None


def test_shares_are_exact():
    """A p-value at its share of alpha is not missed by rounding."""
    for k, total in ((1, 11), (1, 22), (3, 44), (7, 40)):
        p = [0.05 / total] * k
        assert max(adjust(p, "holm", total=total)) <= 0.05
    assert holm([0.01, 0.04, 0.03, 0.005], total=8) == pytest.approx([0.06, 0.12, 0.12, 0.04])
    assert benjamini_hochberg([0.01, 0.04], total=4) == pytest.approx([0.04, 0.08])
    with pytest.raises(SampleError, match="total is 1; allowed are 2 and more"):
        holm([0.1, 0.2], total=1)
