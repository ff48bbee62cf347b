"""From runs to samples: what is missing, what pairs with what, and which units there are."""

import math
import statistics

import pytest
from recorded import FAILED, arm, arms

from crystallize import ClusteredTTest, ConditionRuns, GroupSequential, Hypothesis, PairedTTest, evaluate
from crystallize.analysis.columns import deviation
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError

BASELINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
BETTER = [2.0, 3.5, 4.0, 5.5, 6.0, 7.5, 8.0, 9.5]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def but(values, **changes):
    """Return values with some replaced: r3=... that of replicate 3."""
    return [changes.get(f"r{i}", value) for i, value in enumerate(values)]


GAPS = {"nan": math.nan, "inf": math.inf, "failed": FAILED, "nothing": []}


@pytest.mark.parametrize("gap", GAPS)
def test_a_gap_makes_the_verdict_invalid(gap):
    """By default; in either arm."""
    for pair in ((but(BASELINE, r3=GAPS[gap]), BETTER), (BASELINE, but(BETTER, r3=GAPS[gap]))):
        verdict = evaluate(claim(), *arms(*pair))
        assert (verdict.status, verdict.p_value) == ("invalid", None)
        assert "replicate 3" in verdict.reason


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("max_missing", [1, 0.2])
def test_a_gap_is_left_out_in_both_arms(gap, max_missing):
    """With nan_policy='omit' it is as if the pair had not been run; the verdict says how many are missing."""
    hypothesis = claim(nan_policy="omit", max_missing=max_missing)
    verdict = evaluate(hypothesis, *arms(BASELINE, but(BETTER, r3=GAPS[gap])))
    without = evaluate(claim(), *arms(BASELINE[:3] + BASELINE[4:], BETTER[:3] + BETTER[4:]))
    assert (verdict.status, verdict.n, verdict.omitted) == ("supported", 7, 1)
    assert (verdict.p_value, verdict.interval) == (without.p_value, without.interval)


@pytest.mark.parametrize(("max_missing", "most"), [(1, 1), (0.2, 1), (0.1, 0)])
def test_too_many_gaps_are_invalid(max_missing, most):
    """The reason says how many, which is the first, and how many are allowed."""
    hypothesis = claim(nan_policy="omit", max_missing=max_missing)
    verdict = evaluate(hypothesis, *arms(but(BASELINE, r5=math.nan), but(BETTER, r2=FAILED)))
    assert verdict.status == "invalid"
    assert "2 of 8 replicates lack a finite value of 'x' (the first is replicate 2)" in verdict.reason
    assert f"max_missing={max_missing!r} allows {most}" in verdict.reason


def test_a_replicate_that_was_not_run_is_no_gap():
    """Neither 'omit' nor 'worst' makes evidence of what was lost."""
    for options in (
        {"nan_policy": "omit", "max_missing": 3},
        {"direction": "no_decrease", "margin": 1, "nan_policy": "worst"},
    ):
        verdict = evaluate(claim(**options), *arms(BASELINE, but(BETTER, r3=None)))
        assert verdict.status == "invalid"
        assert "1 of 8 replicates of 't' were not run: [3]" in verdict.reason


def test_nothing_is_left():
    """A metric that has no finite value anywhere is invalid, whatever the policy."""
    nans = [math.nan] * 8
    for options in (
        {"nan_policy": "omit", "max_missing": 8},
        {"direction": "no_decrease", "margin": 1, "nan_policy": "worst"},
    ):
        verdict = evaluate(claim(**options), *arms(nans, nans))
        assert verdict.status == "invalid"
        assert "finite value of metric 'x'" in verdict.reason


@pytest.mark.parametrize(("direction", "worst"), [("no_decrease", 1.0), ("no_increase", 9.5)])
def test_the_worst_counts(direction, worst):
    """A gap of the treatment is filled with the worst there is, of the baseline with the best seen."""
    best = 10.5 - worst
    hypothesis = claim(direction, margin=3.0, nan_policy="worst", worst=worst)
    verdict = evaluate(hypothesis, *arms(but(BASELINE, r5=FAILED), but(BETTER, r2=math.nan)))
    filled = evaluate(claim(direction, margin=3.0), *arms(but(BASELINE, r5=best), but(BETTER, r2=worst)))
    assert (verdict.p_value, verdict.interval, verdict.status) == (
        filled.p_value,
        filled.interval,
        filled.status,
    )
    assert verdict.omitted == 2


def test_how_bad_a_gap_is_has_to_be_said():
    """What was seen says nothing of what was not."""
    verdict = evaluate(
        claim("no_decrease", margin=3.0, nan_policy="worst"), *arms(BASELINE, but(BETTER, r2=math.nan))
    )
    assert verdict.status == "invalid"
    assert "give worst=, the worst value that the metric can have" in verdict.reason
    with pytest.raises(DefinitionError, match="give worst= too"):
        claim("no_decrease", margin=3.0, nan_policy="worst", kind="numeric")


def test_the_worst_of_binary_values_is_0_or_1():
    """Also where only one of them was seen."""
    hypothesis = claim("no_decrease", margin=0.4, nan_policy="worst")
    verdict = evaluate(hypothesis, *arms([1] * 20, but([1] * 20, r2=math.nan)))
    filled = evaluate(claim("no_decrease", margin=0.4), *arms([1] * 20, but([1] * 20, r2=0)))
    assert verdict.p_value == filled.p_value
    assert verdict.treatment_mean != 1 or verdict.difference == filled.difference


@pytest.mark.parametrize("worst", ["omit", "worst"])
def test_dropping_what_failed_is_never_better_than_counting_it(worst):
    """What 'worst' supports, 'omit' supports; not the other way round."""
    sample = but(BETTER, r6=FAILED)
    options = {"max_missing": 1} if worst == "omit" else {"worst": 0.0}
    verdict = evaluate(claim("no_decrease", margin=0.1, nan_policy=worst, **options), *arms(BASELINE, sample))
    assert verdict.passed is (worst == "omit")


def test_partial_overlap_is_an_error():
    """The reason names the replicate, or the sizes, and both ways out."""
    shifted = ConditionRuns(
        "t", [*arm("t", BETTER[:4]).records, *arm("t", BETTER, first_seed=900).records[4:]]
    )
    shorter = arm("t", BETTER[:6])
    for treatment, where in (
        (shifted, "replicate 4 has seed 104 in 'baseline' and 904 in 't'"),
        (shorter, "8 replicates of 'baseline' and 6 of 't'"),
    ):
        verdict = evaluate(claim(), arm("baseline", BASELINE), treatment)
        assert verdict.status == "invalid"
        assert where in verdict.reason
        assert "pairing='intersect' (use what they share) or 'none'" in verdict.reason
        paired = evaluate(claim(pairing="intersect"), arm("baseline", BASELINE), treatment)
        n = 4 if treatment is shifted else 6
        alone = evaluate(claim(), *arms(BASELINE[:n], BETTER[:n]))
        assert (paired.test, paired.n) == ("paired t", n)
        assert (paired.status, paired.p_value) == (alone.status, alone.p_value)
        independent = evaluate(claim(pairing="none"), arm("baseline", BASELINE), treatment)
        assert independent.test == "Welch t"


def test_shifted_seeds_overlap_too():
    """The same seeds under other replicate numbers are neither pairs nor independent."""
    verdict = evaluate(claim(), arm("baseline", BASELINE), arm("t", BETTER, first_seed=103))
    assert verdict.status == "invalid"
    assert "neither the same replicates nor independent ones" in verdict.reason


def test_disjoint_seeds_are_independent_samples():
    """Welch's test then, or Boschloo's; a paired one is invalid, and intersect leaves nothing."""
    baseline, treatment = arm("baseline", BASELINE), arm("t", BETTER[:5], first_seed=900)
    assert evaluate(claim(), baseline, treatment).test == "Welch t"
    binary = arm("baseline", [0] * 9), arm("t", [1] * 9, first_seed=900)
    assert evaluate(claim(), *binary).test == "Boschloo"
    for options, reason in (
        ({"statistical_test": PairedTTest()}, "the paired t test needs pairs"),
        ({"pairing": "intersect"}, "share no seed, so that pairing='intersect' leaves nothing"),
    ):
        verdict = evaluate(claim(**options), baseline, treatment)
        assert verdict.status == "invalid"
        assert reason in verdict.reason


def test_several_values_of_a_replicate_are_one():
    """The built-in tests take their mean: ten values in each of 4 replicates are 4 pairs."""
    several = [[b - 1, b, b + 1] for b in BASELINE[:4]], [[t - 2, t, t + 2] for t in BETTER[:4]]
    verdict = evaluate(claim(), *arms(*several))
    means = evaluate(claim(), *arms(BASELINE[:4], BETTER[:4]))
    assert (verdict.n, verdict.p_value, verdict.interval) == (4, means.p_value, means.interval)


CASES = ["a", "b", "c", "d", "e"]
BY_CASE = [[1.0, 2.0, 3.0, 4.0, 5.0], [1.2, 2.2, 3.2, 4.4, 5.0]]
BY_CASE_BETTER = [[1.5, 2.3, 3.8, 4.6, 5.3], [1.6, 2.9, 3.5, 5.1, 5.4]]


def test_the_clustered_test_speaks_of_cases():
    """Its n is that of the units, however many replicates repeat them."""
    hypothesis = claim(statistical_test=ClusteredTTest())
    verdict = evaluate(hypothesis, *arms(BY_CASE, BY_CASE_BETTER, units=CASES))
    assert (verdict.test, verdict.population, verdict.n) == ("clustered t", "cases", 5)
    repeated = evaluate(hypothesis, *arms(BY_CASE * 3, BY_CASE_BETTER * 3, units=CASES))
    assert repeated.n == 5
    assert repeated.p_value == pytest.approx(verdict.p_value)
    by_replicate = evaluate(hypothesis, *arms(BASELINE, BETTER))
    assert (by_replicate.population, by_replicate.n) == ("seeds of this data set", 8)


def test_the_clustered_test_does_not_pair_seeds_that_are_not_shared():
    """Replicates are units of both arms only if they share a seed; named units are, whatever the seeds."""
    hypothesis = claim(statistical_test=ClusteredTTest())
    verdict = evaluate(hypothesis, arm("baseline", BASELINE), arm("t", BETTER, first_seed=900))
    assert verdict.status == "invalid"
    assert "the clustered t test needs pairs" in verdict.reason
    named = (
        arm("baseline", BY_CASE, units=CASES),
        arm("t", BY_CASE_BETTER, units=CASES, first_seed=900),
    )
    assert evaluate(hypothesis, *named).status == "supported"


def test_units_must_be_the_same_in_both_conditions():
    """A mean over other cases is not comparable; the reason names one that is missing."""
    baseline, treatment = (
        arm("baseline", BY_CASE, units=CASES),
        arm("t", BY_CASE_BETTER, units=[*CASES[:4], "z"]),
    )
    for options in ({}, {"statistical_test": ClusteredTTest()}):
        verdict = evaluate(claim(**options), baseline, treatment)
        assert verdict.status == "invalid"
        assert "unit 'e' is recorded in replicate 0 of 'baseline' and not of 't'" in verdict.reason


def test_some_units_are_as_bad_as_other_units():
    """A clustered test needs all or none."""
    part = [*CASES[:4], None]
    verdict = evaluate(claim(statistical_test=ClusteredTTest()), *arms(BY_CASE, BY_CASE_BETTER, units=part))
    assert verdict.status == "invalid"
    assert "some values of metric 'x' have a unit and some have none" in verdict.reason


def test_a_part_that_may_be_missing_is_a_part_of_all_replicates():
    """An early look decides nothing about it: one of the first six may be one of thirty."""
    baseline = [0.1 * i for i in range(30)]
    treatment = [b + 0.2 * ((7 * i) % 5) for i, b in enumerate(baseline)]
    hypothesis = claim(nan_policy="omit", max_missing=0.1)
    judging = Judging(stopping=GroupSequential())
    one = evaluate(hypothesis, *arms(baseline, but(treatment, r2=math.nan)), judging=judging)
    assert (one.status, one.omitted) == ("supported", 1)
    assert one.look < one.looks
    many = evaluate(
        hypothesis,
        *arms(baseline, but(treatment, r1=FAILED, r2=FAILED, r3=FAILED, r4=FAILED)),
        judging=judging,
    )
    assert many.status == "invalid"
    assert "4 of 30" in many.reason or "4 of 6" in many.reason


@pytest.mark.parametrize(
    ("values", "relative", "status"),
    [
        ([True, False] * 10, False, "supported"),
        ([10**30 + i for i in range(8)], True, "supported"),
        ([10**400] * 8, True, "invalid"),
        ([1e308] * 8, True, "supported"),
    ],
    ids=["bools", "big integers", "integers no float holds", "large floats"],
)
def test_odd_numbers(values, relative, status):
    """Booleans and integers are numbers; what no float holds is missing evidence."""
    verdict = evaluate(claim("no_decrease", margin=0.5, relative=relative), *arms(values, values))
    assert verdict.status == status
    assert verdict.passed or "replicate 0" in verdict.reason


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, 2.0, 4.0], statistics.stdev([1.0, 2.0, 4.0])),
        ([1e200, 2e200, 3e200], 1e200),
        ([1e-200, 2e-200, 3e-200], 1e-200),
        ([5e-324, 1.5e-323], 5e-324 * round(math.sqrt(2))),
        ([1e300, 1e300, 1e300], 0.0),
        ([1.7e308, -1.7e308], math.inf),
        ([math.nan, 1.0, 2.0], math.nan),
        ([math.inf, 1.0], math.nan),
    ],
)
def test_a_deviation_is_there_for_values_of_any_size(values, found):
    """Squares beyond floats are those of smaller values; what is no number has none."""
    assert deviation(values) == pytest.approx(found, rel=1e-15, abs=0, nan_ok=True)
