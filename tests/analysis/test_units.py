"""Metrics with units: which test, what is paired, and what the verdict speaks of."""

import numpy as np
import pytest
from recorded import arms

from crystallize import (
    AnytimeValid,
    CrossedTTest,
    GroupSequential,
    Hypothesis,
    PairedTTest,
    Reference,
    RunRecord,
    WelchTTest,
    evaluate,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.claim_test import chosen_test
from crystallize.analysis.condition_runs import ConditionRuns
from crystallize.analysis.condition_samples import claim_sample
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.recordable import make_recording
from crystallize.analysis.references import References
from crystallize.analysis.stored_reference import Origin, StoredReference
from crystallize.analysis.unchanged import unchanged_passes
from crystallize.claims.policy import Judging
from crystallize.context.recording import MetricEntry
from crystallize.stats import crossed_t, paired_t

CASES = ["a", "b", "c", "d", "e"]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def table(seed, replicates=6, cases=5, effect=0.0):
    """Return values by replicate and case, with effects of both."""
    rng = np.random.default_rng(seed)
    values = rng.normal(effect, 1, (replicates, cases)) + rng.normal(size=(replicates, 1))
    return (values + rng.normal(size=(1, cases))).tolist()


def runs(condition, rows, *, first_seed=100):
    """Return runs of which replicate i records the (unit, value) pairs of row i."""
    records = [
        RunRecord(condition, i, first_seed + i, tuple(MetricEntry("x", v, u, False, "s") for u, v in row))
        for i, row in enumerate(rows)
    ]
    return ConditionRuns(condition, records)


def test_cases_under_the_same_seeds_are_crossed_with_them():
    """Both are random, and the row says so."""
    before, after = table(1), table(2, effect=1)
    verdict = evaluate(claim(), *arms(before, after, units=CASES))
    labels = {"replicates": [i for i in range(6) for _ in CASES], "units": CASES * 6}
    expected = crossed_t(np.ravel(before), np.ravel(after), **labels)
    assert (verdict.test, verdict.population, verdict.n) == ("crossed t", "seeds and cases", 6)
    assert verdict.p_value == pytest.approx(expected.p_value, rel=1e-12)
    assert verdict.difference == pytest.approx(expected.estimate)
    assert evaluate(claim(statistical_test=CrossedTTest()), *arms(before, after, units=CASES)) == verdict
    named = evaluate(claim(statistical_test=PairedTTest()), *arms(before, after, units=CASES))
    assert named.test == "paired t"


def test_several_values_of_a_case_in_a_replicate_are_one():
    """They are its mean: more values of the same case under the same seed are no more cases."""
    before, after = table(1), table(2, effect=1)
    twice = [[[v - 0.5 for v in row] + [v + 0.5 for v in row] for row in rows] for rows in (before, after)]
    once = evaluate(claim(), *arms(before, after, units=CASES))
    verdict = evaluate(claim(), *arms(*twice, units=CASES * 2))
    assert (verdict.p_value, verdict.n) == (pytest.approx(once.p_value, rel=1e-9), once.n)


def test_samples_of_one_case_each_are_compared_by_case():
    """Three samples of each case, a replicate each: cases pair, and their means are what varies."""
    rng = np.random.default_rng(0)
    rows = [[[(f"case {i // 3}", float(v))] for i, v in enumerate(rng.normal(size=24))] for _ in range(2)]
    verdict = evaluate(claim("differ"), runs("baseline", rows[0]), runs("t", rows[1]))
    means = [np.reshape([row[0][1] for row in side], (8, 3)).mean(axis=1) for side in rows]
    assert (verdict.test, verdict.population, verdict.n) == ("paired t", "cases", 8)
    assert verdict.p_value == pytest.approx(paired_t(*means).p_value, rel=1e-9)


def test_cases_of_one_replicate_only_are_its_mean():
    """New cases under each seed: the replicate is what varies."""
    rng = np.random.default_rng(0)
    rows = [[[((i, j), float(rng.normal())) for j in range(4)] for i in range(8)] for _ in range(2)]
    rows = [[[(4 * i + j, v) for (i, j), v in row] for row in side] for side in rows]
    verdict = evaluate(claim("differ"), runs("baseline", rows[0]), runs("t", rows[1]))
    means = [[np.mean([v for _, v in row]) for row in side] for side in rows]
    assert (verdict.test, verdict.population, verdict.n) == ("paired t", "seeds of this data set", 8)
    assert verdict.p_value == pytest.approx(paired_t(*means).p_value, rel=1e-9)


def test_one_replicate_speaks_of_cases_under_its_seed():
    """Nothing is known of other seeds, and the row says that."""
    before, after = table(1, replicates=1), table(2, replicates=1, effect=3)
    verdict = evaluate(claim(), *arms(before, after, units=CASES))
    assert (verdict.test, verdict.population, verdict.n) == ("paired t", "cases under one seed", 5)


@pytest.mark.parametrize("direction", ["no_decrease", "equal"])
@pytest.mark.parametrize("relative", [False, True])
def test_margins_of_crossed_values(direction, relative):
    """Absolute and relative ones; all values have the unit of the metric."""
    before = [[v + 100 for v in row] for row in table(1)]
    verdict = evaluate(
        claim(direction, margin=0.05 if relative else 5.0, relative=relative),
        *arms(before, before, units=CASES),
    )
    assert (verdict.status, verdict.degenerate) == ("supported", True)
    noisy = [[v + w / 10 for v, w in zip(*pair, strict=True)] for pair in zip(before, table(2), strict=True)]
    verdict = evaluate(
        claim(direction, margin=0.05 if relative else 5.0, relative=relative),
        *arms(before, noisy, units=CASES),
    )
    assert (verdict.status, verdict.degenerate) == ("supported", False)


def test_incomplete_tables_are_crossed_too():
    """A case need not be under every seed, as long as both conditions have the same ones."""
    rows = [
        [(unit, value) for unit, value in zip(CASES, row, strict=True) if (i + ord(unit)) % 4]
        for i, row in enumerate(table(1))
    ]
    moved = [[(unit, value + 0.1 * i + 0.5) for i, (unit, value) in enumerate(row)] for row in rows]
    verdict = evaluate(claim(), runs("baseline", rows), runs("t", moved))
    assert (verdict.test, verdict.status) == ("crossed t", "supported")


def test_cases_that_differ_are_named():
    """Added and removed ones; what both have is compared only if that is what is asked for."""
    rows = [list(zip(CASES, row, strict=True)) for row in table(1)]
    others = [[("new" if u == "c" else u, v + 1) for u, v in row] for row in rows]
    verdict = evaluate(claim(), runs("baseline", rows), runs("t", others))
    assert verdict.status == "invalid"
    assert "unit 'c' is recorded in replicate 0 of 'baseline' and not of 't'" in verdict.reason
    assert "unit 'new' is recorded in replicate 0 of 't' and not of 'baseline'" in verdict.reason
    shared = evaluate(claim(pairing="intersect"), runs("baseline", rows), runs("t", others))
    assert (shared.test, shared.difference) == ("crossed t", pytest.approx(1.0))


@pytest.mark.parametrize(("pairing", "first_seed"), [("none", 100), ("auto", 900)])
def test_cases_that_differ_are_named_without_pairs_too(pairing, first_seed):
    """Other seeds are no reason to compare means over other cases; cases that are new each time are."""
    rows = [list(zip(CASES, row, strict=True)) for row in table(1)]
    others = [[("new" if u == "c" else u, v) for u, v in row] for row in rows]
    before = runs("baseline", rows)
    reason = evaluate(claim(pairing=pairing), before, runs("t", others, first_seed=first_seed)).reason
    assert "unit 'c' is recorded of 'baseline' and not of 't'; unit 'new' is recorded of 't'" in reason
    same = evaluate(claim(pairing=pairing), before, runs("t", rows, first_seed=first_seed))
    assert (same.test, same.population) == ("Welch t", "seeds of this data set")
    fresh = [
        [[(f"{name} {i} {u}", v) for u, v in row] for i, row in enumerate(rows)] for name in ("then", "now")
    ]
    sample = runs("baseline", fresh[0]), runs("t", fresh[1], first_seed=first_seed)
    assert evaluate(claim(pairing=pairing), *sample).test == "Welch t"


def against_a_recording(claim, then, today, *, repeats=False):
    """Return the verdict on rows of today against those of a reference, which no seed repeats."""
    origin = Origin.now(commit=None, dirty=None, machine=None, inputs={})
    recording, _ = make_recording("e", {"baseline": runs("baseline", then)}, origin, root_seed=0)
    stored = StoredReference("e", (recording,)).labelled("main")
    references = References({claim.against: stored}, repeats=lambda: repeats)
    plan = AnalysisPlan((claim,), (), len(today))
    return Analysis(plan, {"baseline": runs("baseline", today)}, references).verdict(claim, "baseline")


def test_a_reference_pairs_by_case_and_not_by_place():
    """A case that is added in front moves all others; each is still compared with itself."""
    rng = np.random.default_rng(0)
    value = {f"case {i}": float(rng.normal(scale=10)) for i in range(9)}
    then = [[(name, value[name] + rng.normal() / 10)] for name in list(value)[1:] for _ in range(3)]
    today = [[(name, value[name] + rng.normal() / 10)] for name in value for _ in range(3)]
    auto, intersect = (
        against_a_recording(
            claim("equal", margin=1.0, against=Reference("main"), pairing=pairing), then, today
        )
        for pairing in ("auto", "intersect")
    )
    assert auto.status == "invalid"
    assert "unit 'case 0' is recorded of 'baseline' and not of 'baseline in main'" in auto.reason
    assert (intersect.status, intersect.n) == ("supported", 8)
    # What does not repeat is what varies within cases, not what varies between them.
    assert "unchanged code passes with a probability of at least about 0.99," in intersect.caveat
    for unit in (2.0**-800, 2.0**800):  # so it does where their squares are no floats
        rows = [
            [[(name, x * unit) for name, x in row] for row in each if row[0][0] != "case 0"]
            for each in (then, today)
        ]
        sized = claim("equal", margin=unit, against=Reference("main"))
        assert "at least about 0.99," in against_a_recording(sized, *rows).caveat


@pytest.mark.parametrize(
    ("unit_of", "test"), [(lambda i, j: j, "crossed t"), (lambda i, j: 5 * i + j, "paired t")]
)
def test_what_varies_between_seeds_may_fail_unchanged_code(unit_of, test):
    """Cases under all seeds repeat, what is left of their values does not; new ones are part of a seed."""
    rng = np.random.default_rng(0)
    case = 10 * rng.normal(size=5)
    rows = [
        [[(unit_of(i, j), float(case[j] + rng.normal())) for j in range(5)] for i in range(8)]
        for _ in range(2)
    ]
    told = []
    for margin in (0.5, 1.5):
        guard = claim("no_decrease", margin=margin, against=Reference("main"))
        verdict = against_a_recording(guard, *rows)
        assert verdict.test == test
        told.append(float(verdict.caveat.split("at least about ")[1].split(",")[0]))
        assert "unchanged" not in against_a_recording(guard, *rows, repeats=True).caveat
    assert 0 < told[0] < 0.8 < told[1]


def test_what_varies_between_cases_says_nothing_of_what_does_not_repeat():
    """Under one seed nobody knows what cases would have given in another session."""
    rows = [list(enumerate(np.random.default_rng(0).normal(size=8).tolist()))]
    guard = claim("no_decrease", margin=1.5, against=Reference("main"))
    verdict = against_a_recording(guard, rows, rows)
    assert (verdict.population, verdict.n) == ("cases under one seed", 8)
    assert "unchanged" not in verdict.caveat


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([[("a", 1.0), ("b", 2.0)], [("b", 3.0), ("c", 1.5)], [("c", 2.5)]], "numeric"),
        ([[(None, 0.25)], [(None, 0.5)], [(None, 3.5)]], "binary"),
    ],
    ids=["too few cells", "no rates"],
)
def test_nothing_is_told_of_unchanged_code_where_nothing_can_be_tested(rows, kind):
    """A recording is made all the same."""
    guard = claim("no_decrease", margin=0.5, kind=kind).claim
    sample = claim_sample(guard, runs("baseline", rows), runs("baseline", rows))
    assert unchanged_passes(guard, sample, chosen_test(guard, sample, None), 0.05) is None


def drifting(unit_of, replicates=30, several=1):
    """Return rows of units in the order of a file, whose first ones alone are better, and their baseline."""
    rng = np.random.default_rng(0)
    before = [[(unit_of(i, j), float(rng.normal())) for j in range(several)] for i in range(replicates)]
    after = [[(u, v + rng.normal() / 9 + (i < 12)) for u, v in row] for i, row in enumerate(before)]
    return before, after


@pytest.mark.parametrize(
    ("unit_of", "several"),
    [
        (lambda i, _: i, 1),
        (lambda i, _: i // 3, 1),
        (lambda i, _: i % 4, 1),
        (lambda i, j: 2 * i + j, 5),
        (lambda i, j: 5 * i + j, 5),
    ],
    ids=["one each", "nested", "by turns", "some recur", "none recur"],
)
def test_units_that_come_and_go_are_looked_at_once(unit_of, several):
    """The first cases of a file are no sample of all: the claim is decided at the end, at its whole level."""
    sample = [
        runs(name, rows)
        for name, rows in zip(("baseline", "t"), drifting(unit_of, several=several), strict=True)
    ]
    plain = evaluate(claim(), *sample)
    looked = evaluate(claim(), *sample, judging=Judging(stopping=GroupSequential()))
    assert (looked.look, looked.looks, len(looked.trail)) == (5, 5, 1)
    assert (looked.status, looked.p_value, looked.level) == (plain.status, plain.p_value, 0.05)
    assert (looked.interval, looked.population) == (plain.interval, plain.population)
    assert "looked at once, at the end: replicates have other units each" in looked.caveat
    reason = evaluate(claim(), *sample, judging=Judging(stopping=AnytimeValid())).reason
    assert "has units, and AnytimeValid() tests replicates only; use GroupSequential()" in reason


def test_levels_that_looks_have_spent_are_not_spent_again():
    """Where other units come after the first looks, what is left of alpha decides."""
    before, after = drifting(lambda i, j: j if i < 15 else 5 + j, several=5)
    after = [[(u, v - (i < 12)) for u, v in row] for i, row in enumerate(after)]
    judging = Judging(stopping=GroupSequential(futility=False))
    verdict = evaluate(claim(), runs("baseline", before), runs("t", after), judging=judging)
    levels = GroupSequential().boundaries(30, 0.05, "two-sided").levels
    assert [size for size, _, _ in verdict.trail] == [6, 12, 30]
    assert verdict.level == levels[-1] < 0.05


def test_looks_at_resplits_do_not_mind_which_cases_they_hold_out():
    """Each draws its cases by its seed."""
    sample = [
        runs(name, rows)
        for name, rows in zip(("b", "t"), drifting(lambda i, j: i + j, several=3), strict=True)
    ]
    judging = Judging(stopping=GroupSequential(), resampled=0.25)
    verdict = evaluate(claim(), *sample, judging=judging)
    assert (verdict.test, verdict.look < 5) == ("resampled t", True)


def test_an_e_process_of_crossed_values_is_refused():
    """There is none."""
    sample = arms(table(1, 20), table(2, 20), units=CASES)
    reason = evaluate(claim(), *sample, judging=Judging(stopping=AnytimeValid())).reason
    assert "has units, and AnytimeValid() tests replicates only" in reason


@pytest.mark.parametrize(
    "options",
    [{}, {"pairing": "none"}, {"statistical_test": PairedTTest()}, {"statistical_test": WelchTTest()}],
)
def test_some_values_without_their_case_are_invalid(options):
    """Units are never ignored, whatever the test is."""
    rows = [[("a", 1.0 + i), (None, 2.0)] for i in range(4)]
    reason = evaluate(claim(**options), runs("baseline", rows), runs("t", rows)).reason
    assert "some values of metric 'x' have a unit and some have none" in reason


@pytest.mark.parametrize(
    "rows",
    [
        [[(None, float(i))] for i in range(6)],
        [[(i // 2, float(i))] for i in range(6)],
        [[(2 * i + j, float(i)) for j in range(2)] for i in range(6)],
        [[(j, float(j)) for j in range(5)]],
    ],
    ids=["no units", "nested", "new ones", "one replicate"],
)
def test_a_crossed_test_of_what_is_not_crossed_says_what_it_needs(rows):
    """Values of replicates are no table."""
    sample = runs("baseline", rows), runs("t", rows)
    reason = evaluate(claim(statistical_test=CrossedTTest()), *sample).reason
    assert "needs units of 'x' that recur in several replicates" in reason


def test_too_few_cases_are_no_replicates():
    """However many replicates they have: more of the same two cases are no more cases."""
    rows = [[(i % 2, float(i))] for i in range(12)]
    reason = evaluate(claim(), runs("baseline", rows), runs("t", rows)).reason
    assert "the paired t test needs at least 3 units, not 2; run more" in reason


@pytest.mark.parametrize("shape", ["crossed", "nested"])
def test_replicates_that_lack_a_value_are_left_out_as_far_as_is_allowed(shape):
    """In both conditions, and counted; nothing says how bad a case is that is not there."""
    rng = np.random.default_rng(0)
    if shape == "crossed":
        rows = [list(zip(CASES, row, strict=True)) for row in table(1)]
    else:
        rows = [[(f"case {i // 3}", float(rng.normal()))] for i in range(24)]
    broken = [
        [(u, float("nan") if i == 4 else v + 1 + rng.normal() / 9) for u, v in row]
        for i, row in enumerate(rows)
    ]
    sample = runs("baseline", rows), runs("t", broken)
    assert evaluate(claim(), *sample).status == "invalid"
    verdict = evaluate(claim(nan_policy="omit", max_missing=1), *sample)
    assert (verdict.status, verdict.omitted) == ("supported", 1)
    worst = claim("no_decrease", margin=1.0, nan_policy="worst", worst=-9.0)
    assert "use 'omit'" in evaluate(worst, *sample).reason


def test_cases_of_resplits_are_their_means():
    """Resplits overlap: what varies is the split, and its test allows for that."""
    verdict = evaluate(claim(), *arms(table(1), table(2), units=CASES), judging=Judging(resampled=0.25))
    assert (verdict.test, verdict.population, verdict.n) == (
        "resampled t",
        "resampled splits of one data set",
        6,
    )


@pytest.mark.parametrize(("shape", "what"), [((3, 5), "3 replicates"), ((6, 2), "2 units")])
def test_few_replicates_or_units_have_a_caveat(shape, what):
    """As many degrees of freedom less one are left, whatever the other is."""
    names = CASES[: shape[1]]
    verdict = evaluate(claim(), *arms(table(1, *shape), table(2, *shape), units=names))
    assert f"with {what} the crossed t test hardly knows how much these vary" in verdict.caveat
    assert verdict.details["df"] == min(shape) - 1


@pytest.mark.parametrize(
    ("shape", "p_value", "told"),
    [
        ((20, 4), 2**-4, "80 (of 20 replicates and 4 units) equal differences of 0 give p = 0.0625"),
        ((20, 5), 2**-5, "5 units are alike: a loss in up to 45 % of units is not excluded"),
        ((6, 9), 2**-6, "6 replicates are alike: a loss in up to 39 % of replicates is not excluded"),
    ],
)
def test_identical_crossed_values_count_as_the_fewer_of_both(shape, p_value, told):
    """Four cases without a loss are four, under however many seeds."""
    rows = table(1, *shape)
    verdict = evaluate(claim("no_decrease", margin=0.5), *arms(rows, rows, units=range(shape[1])))
    assert verdict.p_value == p_value
    assert told in f"{verdict.reason} {verdict.caveat}"
    bounded = evaluate(
        claim("no_decrease", margin=0.5, worst=-10.0), *arms(rows, rows, units=range(shape[1]))
    )
    assert bounded.p_value == pytest.approx((1 - 0.5 / (np.max(rows) + 10)) ** min(shape))
