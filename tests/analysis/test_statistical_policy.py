"""The policy of verdicts, point by point; see "What a verdict does not say" for what is behind it."""

import math
import re

import numpy as np
import pytest
from recorded import arms, experiment
from scipy import stats as reference

from crystallize import (
    AnytimeValid,
    GroupSequential,
    Hypothesis,
    PairedTTest,
    Reference,
    evaluate,
)
from crystallize.claims.policy import Judging
from crystallize.experiment.result import Result


def judge(baseline, treatment, direction, *, judging=None, **options):
    """Return the verdict on values of the metric x, whose replicates are pairs."""
    claim = Hypothesis(metric="x", direction=direction, **options)
    sample = arms(list(baseline), list(treatment))
    return evaluate(claim, *sample, **({} if judging is None else {"judging": judging}))


def standard(n, seed=0):
    """Return n numbers of mean 0 and standard deviation 1."""
    noise = np.random.default_rng(seed).normal(size=n)
    return (noise - noise.mean()) / noise.std(ddof=1)


def with_p(p, n, *, sided=2, seed=0):
    """Return n differences whose paired t test has the p-value p on the upper side."""
    return standard(n, seed) + reference.t.isf(p / sided, n - 1) / math.sqrt(n)


def among(claims, baseline, treatments, **options):
    """Return the verdicts on claims about treatments, which are judged together."""
    result = experiment(baseline, claims, **treatments)(**options).run()
    assert isinstance(result, Result)
    return [verdict for outcome in result.hypotheses for verdict in outcome.verdicts.values()]


# Yes/no, or a number.


@pytest.mark.parametrize(
    ("values", "options", "read"),
    [
        ([True, False] * 8, {}, True),
        ([1, 0] * 8, {}, True),
        ([1.0, 0.0] * 8, {}, True),
        ([1.0, 0.5] * 8, {}, False),
        ([2, 0] * 8, {}, False),
        ([1, 0] * 8, {"relative": True}, False),
        ([1, 0] * 8, {"margin": 1.0}, False),
        ([1, 0] * 8, {"kind": "numeric"}, False),
    ],
)
def test_yes_or_no_is_what_is_0_or_1_everywhere(values, options, read):
    """And has a margin that a rate can have; kind= decides."""
    verdict = judge(values, values[::-1], "no_decrease", **{"margin": 0.5, **options})
    assert (verdict.reading, "Tango" in verdict.test) == (("yes/no", True) if read else ("", False))


def test_yes_or_no_looks_at_the_reference_too(tmp_path):
    """What has counted two is a count, though today has zeros and ones only."""
    path = tmp_path / "main.json"
    experiment([1, 0, 2, 1] * 5, [])().run().save_reference(path)
    claim = Hypothesis(metric="x", direction="no_decrease", margin=0.9, against=Reference("main", path=path))
    (verdict,) = among([claim], [1, 0, 1, 1] * 5, {})
    assert (verdict.test, verdict.reading) == ("paired t", "")


# Identical pairs.


@pytest.mark.parametrize(("n", "unseen"), [(5, "45"), (10, "26"), (30, "9.5")])
def test_identical_pairs_are_a_sign_test_and_tell_what_is_unseen(n, unseen):
    """Of the metric's largest loss nothing is known; with it, the part that loses at the margin counts."""
    scores = [0.25 + i / 100 for i in range(n)]
    verdict = judge(scores, scores, "no_decrease", margin=0.05)
    assert (verdict.p_value, verdict.degenerate) == (2.0**-n, True)
    assert f"a loss in up to {unseen} % of replicates is not excluded" in verdict.caveat
    bounded = judge(scores, scores, "no_decrease", margin=0.05, worst=0.0)
    assert bounded.p_value == pytest.approx((1 - 0.05 / max(scores)) ** n)
    assert "not excluded" not in bounded.caveat


# The degenerate cliff.


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2**-42), (np.float32, 2**-19)])
def test_the_cliff_of_degenerate_input_is_continuous(dtype, tolerance):
    """P is at least the floor times (tol / spread)^(n - 1); tol is 2^10 ulp of double, 2^4 of single."""
    for n in (3, 5):
        for factor in (0.5, 1.0, 1.5, 4.0):
            steps = np.zeros(n)
            steps[0] = factor * tolerance
            before = np.full(n, dtype(1 / 3 + 1))
            after = (before.astype(float) + 0.25 + steps).astype(dtype)
            verdict = judge(before.tolist(), after.tolist(), "differ")
            spread = np.ptp(after.astype(float) - before)
            floor = 2.0 ** (1 - n)
            bound = floor * min(1.0, (tolerance / spread) ** (n - 1))
            assert verdict.degenerate is bool(spread <= tolerance)
            assert verdict.p_value == pytest.approx(bound, rel=1e-6)
        ulp = tolerance / (2**10 if dtype is np.float64 else 2**4)
        assert judge([1.5] * n, [1.5 + 3 * ulp] * n, "differ").p_value == 1.0


def test_the_cliff_of_half_precision_and_of_whole_numbers():
    """Rounding to half precision is no evidence; whole numbers have none."""
    noise = standard(12)
    half = judge(*(np.float16(noise + add).tolist() for add in (0.0, 0.02)), "increase")
    assert half.p_value > 2.0**-24
    big = 10**15
    exact = judge([big + i for i in range(6)], [big + 2 * i + 1 for i in range(6)], "increase")
    assert exact.p_value == pytest.approx(judge(range(6), range(1, 13, 2), "increase").p_value, rel=1e-12)


# Refuted.


def test_refuted_is_what_the_mirrored_claim_would_support():
    """By the claim's own sidedness, corrected for the same number of claims."""
    zeros, harm = [0.0] * 12, (-with_p(0.03, 12)).tolist()
    for options, status in (({}, "refuted"), ({"alternative": "one-sided"}, "refuted")):
        claim = Hypothesis(metric="x", direction="increase", **options)
        (alone,) = among([claim], zeros, {"t": harm})
        assert (alone.status, alone.deciding_p) == (
            status,
            pytest.approx(0.015 if options else 0.03, rel=1e-6),
        )
        first, *_ = among([claim], zeros, {"t": harm, "u": standard(12, 1), "v": standard(12, 2)})
        assert first.status == ("inconclusive" if not options else "refuted")
    # A one-sided p of .03 on the wrong side is two-sided .06.
    weak = (-with_p(0.03, 12, sided=1)).tolist()
    assert judge(zeros, weak, "increase").status == "inconclusive"
    assert judge(zeros, weak, "increase", alternative="one-sided").status == "refuted"


def test_refuted_guards_are_corrected_and_split_at_looks():
    """Each guard has to hold by itself, so that none is corrected; that one is violated is one of many."""
    zeros = [0.0] * 20
    worse = (-with_p(0.02, 20, sided=1) - 0.5).tolist()
    fine = {f"t{i}": (standard(20, i) / 10).tolist() for i in range(1, 4)}
    guard = Hypothesis(metric="x", direction="no_decrease", margin=0.5)
    assert among([guard], zeros, {"w": worse})[0].status == "refuted"
    verdicts = among([guard], zeros, {"w": worse, **fine})
    assert [v.status for v in verdicts] == ["inconclusive"] + ["supported"] * 3
    looks = GroupSequential(looks=2, futility=False)
    first, *others = among([guard], zeros, {"w": worse, **fine}, stopping=looks)
    assert first.status == "inconclusive"
    whole, split = (looks.boundaries(20, 0.05 / m, "greater").levels for m in (1, 4))
    assert {v.level for v in others} <= set(whole)
    assert first.confidence == pytest.approx(1 - 2 * split[-1])


# Futility.


def test_futility_hides_no_harm():
    """A claim of which harm is likely to be shown goes on; one of which neither is stops."""
    harm, nothing = (standard(30, 5) - 1).tolist(), standard(30, 5).tolist()
    judging = Judging(stopping=GroupSequential())
    shown = judge([0.0] * 30, harm, "increase", judging=judging)
    assert (shown.status, shown.look > 1) == ("refuted", True)
    assert judge([0.0] * 30, harm, "decrease", judging=judging).status == "supported"
    stopped = judge([0.0] * 30, nothing, "increase", judging=judging)
    assert (stopped.status, stopped.n < 30) == ("inconclusive", True)
    assert "stopped for futility" in stopped.reason


# Intervals in families.


@pytest.mark.parametrize(
    ("options", "correction", "levels"),
    [
        # Of 4 claims 1 is supported and 1 refuted: at 1/4 each, the others at 1/3.
        ({}, "holm", [1 / 4, 1 / 4, 1 / 3, 1 / 3]),
        ({"alternative": "one-sided"}, "holm", [2 / 4, 2 / 4, 2 / 3, 2 / 3]),
        ({}, "none", [1.0] * 4),
    ],
)
def test_intervals_in_families_have_the_level_of_their_claim(options, correction, levels):
    """So that none contradicts its verdict."""
    made = {
        "good": with_p(1e-4, 15),
        "bad": -with_p(1e-5, 15, seed=1),
        "none": standard(15, 2),
        "nothing": standard(15, 3),
    }
    if not options and correction == "holm":
        # Two-sided p-values are those of the mirrored claims, too: of either, two are rejected.
        levels = [1 / 3, 1 / 4, 1 / 2, 1 / 2]
    claim = Hypothesis(metric="x", direction="increase", **options)
    verdicts = among([claim], [0.0] * 15, made, correction=correction)
    assert [v.status for v in verdicts] == ["supported", "refuted", "inconclusive", "inconclusive"]
    assert [1 - v.confidence for v in verdicts] == pytest.approx([0.05 * level for level in levels])


def test_intervals_in_families_of_benjamini_and_hochberg():
    """All have the level of the last step: alpha r / m for r that are rejected, of at least one."""
    claim = Hypothesis(metric="x", direction="differ")
    made = {f"p = {p}": with_p(p, 15, seed=i) for i, p in enumerate((1e-4, 0.01, 0.6))}
    verdicts = among([claim], [0.0] * 15, made, correction="bh")
    assert [v.status for v in verdicts] == ["supported", "supported", "inconclusive"]
    # Nothing of a claim without a sign is refuted: at the mirror's level, alpha / m, it is inconclusive.
    assert [1 - v.confidence for v in verdicts] == pytest.approx([0.1 / 3, 0.1 / 3, 0.05 / 3])


def test_intervals_at_looks_have_the_nominal_level():
    """The one that the p-value of the look is compared with."""
    judging = Judging(stopping=GroupSequential())
    verdict = judge([0.0] * 30, standard(30) + 1.2, "increase", judging=judging)
    levels = GroupSequential().boundaries(30, 0.05, "two-sided").levels
    assert (verdict.status, verdict.look < 5) == ("supported", True)
    assert 1 - verdict.confidence == pytest.approx(levels[verdict.look - 1])


# Skewness.


@pytest.mark.parametrize("claimed", ["increase", "no_decrease", "differ", "decrease"])
def test_the_caveat_of_skewness_is_against_the_claimed_direction(claimed):
    """It is told if g / sqrt n exceeds .148, and 1.645 standard errors of normal samples."""
    n = 30
    error = math.sqrt(6 * (n - 2) / ((n + 1) * (n + 3)))
    limit = max(0.148, 1.645 * error / math.sqrt(n))
    told = []
    for lost in np.linspace(0, 12, 25):
        values = standard(n)
        values[:2] -= lost
        skew = -reference.skew(values) / math.sqrt(n)
        skew = {"decrease": -skew, "differ": abs(skew)}.get(claimed, skew)
        options = {"margin": 9.0} if claimed == "no_decrease" else {}
        told.append("is skewed against the claim" in judge([0.0] * n, values, claimed, **options).caveat)
        assert told[-1] is bool(skew > limit)
    assert any(told) is (claimed != "decrease")


def test_below_ten_one_fixed_note_stands():
    """Whatever the sample looks like."""
    values = [0.1, 0.2, 0.15, 0.1, 0.3, -20.0, 0.2, 0.1, 0.12]
    assert (
        judge([0.0] * 9, values, "increase").caveat
        == "the paired t test on 9 relies on roughly normal values"
    )


# Growing a plan, and planning by a pilot.


def test_growing_a_plan_is_advised_against():
    """What is advised is a larger plan on a new root seed, or AnytimeValid()."""
    reason = judge([0.0] * 12, standard(12), "increase").reason
    assert "to add replicates and look again spends alpha again: plan more on a new root seed" in reason
    assert reason.endswith("or use AnytimeValid()")
    may_grow = judge([0.0] * 12, standard(12), "increase", judging=Judging(stopping=AnytimeValid())).reason
    assert "spends alpha" not in may_grow


@pytest.mark.parametrize(
    ("direction", "options", "sided"),
    [("increase", {"effect": 0.4}, 2), ("no_decrease", {"margin": 0.4}, 1)],
)
def test_the_n_of_a_pilot_is_by_the_upper_limit_of_its_spread(direction, options, sided):
    """The limit is s sqrt((n - 1) / chi2); power .8 is then planned for as if it were known."""
    n = 10
    reason = judge([0.0] * n, 1.5 * standard(n), direction, **options).reason
    advised = int(re.search(r"about (\d+) (?:replicates )?would show", reason)[1])
    assert "(by the upper 80 % limit of the spread)" in reason
    sd = 1.5 * math.sqrt((n - 1) / reference.chi2.ppf(0.2, n - 1))

    def power(n):
        critical, noncentral = reference.t.isf(0.05 / sided, n - 1), 0.4 / sd * math.sqrt(n)
        return reference.nct.sf(critical, n - 1, noncentral)

    assert power(advised - 1) < 0.8 <= power(advised) + 1e-6


# Holm by floats.


class Given(PairedTTest):
    """A paired t test whose p-value is given by the first difference."""

    name = "given"

    def compare(self, baseline, treatment, **options):
        """Return it."""
        result = super().compare(baseline, treatment, **options)
        return type(result)(**{**{f: getattr(result, f) for f in result.__slots__}, "p_value": treatment[0]})


@pytest.mark.parametrize("claims", [11, 22, 44])
def test_holm_is_not_missed_by_rounding(claims):
    """A p-value of alpha / m is significant, the next larger one is not, and both look like what they are."""
    for p, status in ((0.05 / claims, "supported"), (math.nextafter(0.05 / claims, 1), "inconclusive")):
        made = {f"t{i}": [p if i == 0 else 0.9, 1.0, 2.0, 3.5] for i in range(claims)}
        claim = Hypothesis(metric="x", direction="increase", statistical_test=Given())
        verdict = among([claim], [0.0] * 4, made)[0]
        assert (verdict.status, verdict.adjusted_p <= 0.05) == (status, status == "supported")
