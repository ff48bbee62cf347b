"""What a second statistician would object to: verdicts that hang on an accident of the values."""

import itertools
import re

import numpy as np
import pytest
from recorded import arms, experiment

from crystallize import (
    AnytimeValid,
    BootstrapTTest,
    Cases,
    Experiment,
    Hypothesis,
    LogRatioTest,
    MannWhitneyTest,
    PermutationTest,
    Ratio,
    SeedPlugin,
    WilcoxonTest,
    YuenTest,
    evaluate,
    pipeline_step,
)
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import d_z


def judge(baseline, treatment, direction, *, judging=None, **options):
    """Return the verdict on values of the metric x, whose replicates are pairs."""
    claim = Hypothesis(metric="x", direction=direction, **options)
    return evaluate(claim, *arms(baseline, treatment), **({} if judging is None else {"judging": judging}))


@pytest.mark.parametrize(
    ("value", "claim"),
    [
        (0, {"direction": "no_increase", "margin": 2}),
        (0.0, {"direction": "equal", "margin": 1.0}),
        (1.0, {"direction": "no_decrease", "margin": 0.02, "relative": True}),
    ],
)
def test_a_margin_that_no_rate_has_says_that_the_metric_is_a_number(value, claim):
    """A count without errors is a count, and a relative margin is of a mean."""
    verdict = judge([value] * 20, [value] * 20, **claim)
    assert (verdict.status, verdict.degenerate) == ("supported", True)


def test_scores_that_are_all_perfect_are_read_as_yes_or_no_and_the_row_says_so():
    """Where reading them as numbers would change the verdict, the reason names how."""
    verdict = judge([1.0] * 20, [1.0] * 20, "no_decrease", margin=0.02)
    assert verdict.status == "inconclusive"
    assert "read as yes/no" in verdict.reason
    assert 'kind="numeric"' in verdict.reason
    verdict = judge([1.0] * 20, [1.0] * 20, "no_decrease", margin=0.02, kind="numeric")
    assert (verdict.status, verdict.degenerate) == ("supported", True)
    assert "a loss in up to 14 % of replicates is not excluded" in verdict.caveat


@pytest.mark.parametrize("n", [30, 200, 2000])
def test_resplits_without_any_difference_stay_within_a_margin(n):
    """Every pair is identical, as after a change that changes nothing."""
    values = [0.6 + (i * 37 % 101) / 1000 for i in range(n)]
    verdict = judge(values, values, "no_decrease", margin=0.1, judging=Judging(resampled=0.25))
    assert (verdict.status, verdict.degenerate) == ("supported", True)
    assert "beyond the margin" not in verdict.reason


def test_of_many_claims_none_is_refuted_by_chance():
    """A difference at p = .01 on the wrong side is nothing among thirty."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20)
    treatments = {f"t{i}": rng.normal(size=20).tolist() for i in range(29)}
    treatments["worst"] = (noise - noise.mean() - 0.65 * noise.std()).tolist()
    claim = Hypothesis(metric="x", direction="increase")
    result = experiment([0.0] * 20, [claim], **treatments)().run()
    verdicts = result.hypotheses[0].verdicts
    assert verdicts["worst"].p_value < 0.02
    assert {verdict.status for verdict in verdicts.values()} == {"inconclusive"}
    low, high = verdicts["worst"].interval
    assert low < 0 < high


def test_whole_numbers_beyond_floats_are_compared_exactly():
    """Three nanoseconds are three nanoseconds, however long ago the epoch was."""
    for before in (4_000_000_000_000, 1_764_369_000_000_000_000):
        verdict = judge([before] * 8, [before + 3] * 8, "equal", margin=0, deterministic=True)
        assert (verdict.status, verdict.difference) == ("refuted", 3)
    fewer = judge([before] * 8, [before - 3] * 8, "decrease", deterministic=True)
    assert (fewer.status, fewer.difference) == ("supported", -3)
    beyond = judge([before] * 8, [before - 3] * 8, "equal", margin=1)
    assert (beyond.status, beyond.difference) == ("refuted", -3)
    sampled = judge([before] * 8, [before - 3] * 8, "decrease")
    assert (sampled.status, sampled.difference, sampled.degenerate) == ("supported", -3, True)
    assert "never differs" not in sampled.reason


@pytest.mark.parametrize("before", [2**53, 2**53 - 1, float(2**53)])
def test_where_floats_end_to_hold_whole_numbers_they_are_compared_exactly(before):
    """One side is a float, the other one no longer; nor do values of one side hide that they differ."""
    after = 2**53 + 1
    verdict = judge([before] * 3, [after] * 3, "equal", margin=0, deterministic=True)
    assert (verdict.status, verdict.difference) == ("refuted", after - int(before))
    within = judge([before] * 3, [after] * 3, "equal", margin=after - int(before), deterministic=True)
    assert within.status == "supported"
    varies = judge([before, before, after], [before] * 3, "equal", margin=0, deterministic=True)
    assert (varies.status, "declared deterministic" in varies.reason) == ("invalid", True)
    across = [2**53 + i for i in range(-10, 10)]
    sampled = judge(across, [value + 1 for value in across], "increase")
    assert (sampled.status, sampled.difference, sampled.degenerate) == ("supported", 1, True)


def test_a_difference_of_whole_numbers_may_be_beyond_floats():
    """Each of them is a float, and the verdict ends no run."""
    for before, after, direction in ((-(2**1023), 2**1023, "increase"), (2**1023, -(2**1023), "decrease")):
        assert judge([before] * 3, [after] * 3, direction, deterministic=True).status == "supported"
        assert judge([before] * 8, [after] * 8, direction).status == "supported"


@pytest.mark.parametrize("scale", [2**56, 2**58, 2**60, 2**62])
@pytest.mark.parametrize("test", ["auto", WilcoxonTest(), PermutationTest(), YuenTest()], ids=str)
def test_what_doubles_hide_of_whole_numbers_far_apart_supports_no_claim(scale, test):
    """Each value is larger by exactly 100, which is lost when values are rounded to doubles."""
    before = [(i + 1) * scale for i in range(30)]
    after = [value + 100 for value in before]
    for direction in ("no_increase", "equal"):
        verdict = judge(before, after, direction, margin=10, statistical_test=test)
        assert (verdict.status, verdict.p_value) == ("inconclusive", 1)
    assert judge(before, after, "increase", statistical_test=test).status == "inconclusive"
    # Where they lie close to one another, no scale hides it.
    close = [scale + i for i in range(30)]
    verdict = judge(close, [value + 100 for value in close], "no_increase", margin=10, statistical_test=test)
    assert (verdict.status, verdict.difference) == ("refuted", 100)


def test_the_rounding_of_single_precision_is_no_effect():
    """Ten tenths added up one by one miss their sum by one unit in the last place."""
    tenths = np.full(10, 0.1, np.float32)
    exact, summed = float(np.float32(tenths.sum(dtype=float))), float(tenths.cumsum()[-1])
    assert exact != summed
    verdict = judge([exact] * 30, [summed] * 30, "increase")
    assert (verdict.status, verdict.degenerate) == ("inconclusive", True)


SINGLES = np.full(20, 0.1, np.float32)
SUMMED = [float(SINGLES[:n].sum(dtype=float).astype(np.float32)) for n in range(10, 15)]
ONE_BY_ONE = [float(SINGLES[:n].cumsum()[-1]) for n in range(10, 15)]


@pytest.mark.parametrize(
    ("units", "several"),
    [
        (None, [5] * 30),
        (None, [1 + i % 5 for i in range(30)]),
        ([0, 0, 1, 1, 1], [5] * 30),
        ([0, 0, 1, 1, 2], [5] * 30),
    ],
)
def test_the_rounding_of_what_was_averaged_is_no_effect(units, several):
    """A mean of numbers of single precision is a double, and no more precise than they are."""
    assert SUMMED != ONE_BY_ONE
    before, after = ([given[:n] for n in several] for given in (SUMMED, ONE_BY_ONE))
    sample = arms(before, after, units=units)
    for direction in ("increase", "differ"):
        verdict = evaluate(Hypothesis(metric="x", direction=direction), *sample)
        assert (verdict.status, verdict.degenerate, verdict.p_value) == ("inconclusive", True, 1.0)
    farther = arms(before, [[value * (1 + 2**-16) for value in row] for row in after], units=units)
    assert evaluate(Hypothesis(metric="x", direction="increase"), *farther).p_value < 0.25


def test_means_of_whole_numbers_are_doubles():
    """One point in millions of votes is a difference: no rounding has made it."""
    many = [[0, 10**7, 10**7 + i] for i in range(30)]
    more = [[*row[:2], row[2] + 1] for row in many]
    assert judge(many, more, "increase").status == "supported"


@pytest.mark.parametrize("samples", [1, 3])
def test_the_rounding_of_what_was_averaged_over_samples_of_a_case_is_no_effect(samples):
    """As of several values in one replicate."""

    @pipeline_step()
    def step(data, ctx, *, case, added=False):
        for value in ONE_BY_ONE if added else SUMMED:
            ctx.metrics.add("x", np.float32(value))
        return data

    cases = Cases([{"id": str(i)} for i in range(20)], id="id")
    up = Hypothesis(metric="x", direction="increase")
    made = Experiment(
        0, [step], treatments={"t": {"added": True}}, hypotheses=[up], cases=cases, samples=samples
    )
    assert made.run().hypotheses[0].verdicts["t"].status == "inconclusive"


def test_a_constant_difference_in_single_precision_is_constant():
    """It has no variance but that of rounding."""
    noise = np.random.default_rng(0).normal(size=30)
    first, second = (noise.astype(np.float32).tolist(), (noise + 0.01).astype(np.float32).tolist())
    assert judge(first, second, "increase").degenerate


def test_advice_on_more_replicates_says_what_looking_again_costs():
    """To run more until it is significant spends alpha anew each time."""
    values = np.random.default_rng(1).normal(size=(2, 10))
    verdict = judge(values[0].tolist(), values[1].tolist(), "differ")
    assert verdict.status == "inconclusive"
    assert "AnytimeValid()" in verdict.reason


@pytest.mark.parametrize(
    "options",
    [
        {"direction": "differ", "pairing": "none"},
        {"direction": "increase", "alternative": "one-sided"},
        {"direction": "equal", "margin": 0.01, "relative": True},
        {"direction": "differ", "statistical_test": WilcoxonTest()},
    ],
    ids=lambda options: "-".join(map(str, options)),
)
def test_no_advice_names_what_would_be_refused(options):
    """AnytimeValid() serves the default tests of pairs; of others it is no way out."""
    values = np.random.default_rng(1).normal(size=(2, 10))
    verdict = judge(values[0].tolist(), values[1].tolist(), **options)
    assert verdict.status == "inconclusive"
    assert "spends alpha again: plan more on a new root seed" in verdict.reason
    assert "AnytimeValid()" not in verdict.reason
    resplits = judge(*values.tolist(), "differ", judging=Judging(resampled=0.25))
    assert "more resplits hardly help, a larger data set would" in resplits.reason
    assert "add replicates" not in resplits.reason


def test_every_condition_decides_whether_a_metric_is_yes_or_no():
    """A row is not read unlike its neighbour: where one treatment counts two, zeros and ones are counts."""
    zeros_and_ones = [0, 1] * 10
    claim = Hypothesis(metric="x", direction="increase")
    alone = experiment(zeros_and_ones, [claim], a=zeros_and_ones)().run().hypotheses[0].verdicts
    assert (alone["a"].test, alone["a"].reading) == ("McNemar mid-p", "yes/no")
    beside = experiment(zeros_and_ones, [claim], a=zeros_and_ones, b=[2, *zeros_and_ones[1:]])().run()
    read = {name: (v.test, v.reading) for name, v in beside.hypotheses[0].verdicts.items()}
    assert read == {"a": ("paired t", ""), "b": ("paired t", "")}
    declared = judge(zeros_and_ones, zeros_and_ones, "increase", kind="binary")
    assert (declared.test, declared.reading) == ("McNemar mid-p", "")


@pytest.mark.parametrize(("n", "status"), [(30, "inconclusive"), (60, "supported")])
def test_the_worst_that_can_happen_bounds_what_identical_pairs_are_worth(n, status):
    """A loss of everything in one of twenty replicates is a mean loss at the margin; .95^59 is below .05."""
    verdict = judge([1.0] * n, [1.0] * n, "no_decrease", margin=0.05, worst=0.0, kind="numeric")
    assert (verdict.status, verdict.degenerate) == (status, True)
    assert verdict.p_value == pytest.approx(0.95**n)
    assert "beyond the margin" not in verdict.reason
    assert verdict.interval[0] == (-0.05 if status == "inconclusive" else 0.0)


def test_means_of_yes_and_no_can_lose_no_more_than_one():
    """Several zeros and ones in each replicate are a rate, and its largest loss is known."""
    rows = [[1, 0, 1, 1] if i % 2 else [1, 1, 1, 1] for i in range(20)]
    verdict = judge(rows, rows, "no_decrease", margin=0.05)
    assert (verdict.status, verdict.p_value) == ("inconclusive", pytest.approx(0.95**20))


def test_a_baseline_that_no_seed_changes_is_told():
    """Where no change is to be shown by many replicates, which are one."""
    caveat = judge([0.5] * 20, [0.5] * 20, "no_decrease", margin=0.1).caveat
    assert "the seed changes nothing in the baseline: one run is as good as 20" in caveat
    varied = [0.5 + i / 100 for i in range(20)]
    assert "seed" not in judge(varied, varied, "no_decrease", margin=0.1).caveat


def test_a_claim_of_a_difference_says_if_no_seed_changes_either_condition():
    """Ten replicates of a program that takes no seed are one, and were SUPPORTED without a word of that."""
    told = "the seed changes nothing: 10 runs are as good as one; draw from rng"
    verdict = judge([0.5] * 10, [0.75] * 10, "increase")
    assert (verdict.status, verdict.degenerate) == ("supported", True)
    assert told in verdict.caveat
    assert told in judge([0.5] * 10, [0.5] * 10, "differ").caveat
    varied = [0.5 + i / 100 for i in range(10)]
    assert "seed" not in judge([0.5] * 10, varied, "increase").caveat
    assert "seed" not in judge(varied, [0.25 + value for value in varied], "increase").caveat
    assert "seed" not in judge([0] * 10, [1] * 10, "increase").caveat  # yes/no


@pytest.mark.parametrize(
    ("values", "options", "told"),
    [
        ((0.25, 0.75), {"margin": 5}, "x lies from 0 to 1, so no change exceeds the margin 5; of a rate 5"),
        ((0, 1), {"margin": 1}, "so no change exceeds the margin 1; of a rate 1 % is margin=0.01"),
        ((0.25, 0.75), {"detects": 2.5}, "no change exceeds the 2.5; of a rate 2.5 % is detects=0.025"),
        ((0.25, 0.75), {"margin": 500}, "so no change exceeds the margin 500"),
        ((2, 9), {"margin": 5, "relative": True}, "x is never below 0, so no loss exceeds the margin 500 %"),
        ((1, 1), {"margin": 5, "deterministic": True}, "of a rate 5 % is margin=0.05"),
        ((0.25, 1.75), {"margin": 5}, None),
        ((0.25, 0.75), {"margin": 0.05}, None),
        ((-2, 9), {"margin": 5, "relative": True}, None),
    ],
)
def test_a_margin_that_nothing_can_exceed_is_told(values, options, told):
    """Mostly it is meant in percent, and a claim that can't fail gates nothing."""
    caveat = judge(list(values) * 10, list(values) * 10, "no_decrease", **options).caveat
    assert told in caveat if told else "exceeds" not in caveat
    if options.get("relative"):
        assert "exceeds" not in judge(list(values) * 10, list(values) * 10, "no_increase", **options).caveat


def test_values_skewed_against_a_claim_have_a_caveat():
    """On the side where a long tail mostly does not show; in the other direction there is none."""
    rng = np.random.default_rng(0)
    rare = (rng.normal(0.2, 1, 30) - 12 * (rng.random(30) < 0.1)).tolist()
    caveat = judge([0.0] * 30, rare, "no_decrease", margin=3.0).caveat
    assert "x is skewed against the claim" in caveat
    assert "BootstrapTTest()" in caveat
    assert "skewed" not in judge([0.0] * 30, rare, "no_increase", margin=3.0).caveat


@pipeline_step()
def shoot(data, ctx, *, treated=False):
    """Record a metric that a treatment makes far smaller now and then, and others beside it."""
    usual, missed = ctx.rng.gamma(2.0), ctx.rng.random() < 0.1
    ctx.metrics.add("usual", usual)
    return data, {"x": usual + 20.0 + (ctx.rng.normal() - 12 * missed if treated else 0.0)}


@pytest.mark.parametrize(
    ("n", "options", "declared", "advised"),
    [
        (30, {}, {}, "; BootstrapTTest() allows for that, and no"),
        (30, {"pairing": "none"}, {}, "; BootstrapTTest(paired=False) allows for that, and no"),
        (19, {}, {}, "; BootstrapTTest() allows for that, from 20 replicates on, and no"),
        (30, {}, {"resampled": 0.2}, "resampled t test on 30, and no"),
        (30, {"metric": Ratio("x", "usual")}, {}, "ratio of totals test on 30, and no"),
        (30, {"covariate": "usual"}, {}, "adjusted t test on 30, and no"),
        (30, {"statistical_test": LogRatioTest()}, {}, "log ratio test on 30, and no"),
        (30, {}, {"stopping": AnytimeValid()}, "anytime-valid test on 30, and no"),
    ],
)
def test_a_test_is_named_for_skewed_values_only_where_the_claim_may_name_it(n, options, declared, advised):
    """What is advised is taken: BootstrapTTest() was named where it is refused, as of resplits."""

    def verdict(**named):
        claim = Hypothesis(**{"metric": "x", "direction": "differ", "name": "moved", **options, **named})
        arms = {"treatments": {"t": {"treated": True}}, "hypotheses": [claim], "replicates": n}
        return (
            Experiment(0, [shoot], plugins=[SeedPlugin(seed=3)], **arms, **declared)
            .run()
            .hypotheses[0]
            .verdicts["t"]
        )

    caveat = verdict().caveat
    assert "is skewed against the claim" in caveat
    assert advised in caveat
    named = re.search(r"BootstrapTTest\((.*?)\)", caveat)
    if named is None and "statistical_test" not in options:
        with pytest.raises(DefinitionError):
            verdict(statistical_test=BootstrapTTest())
    elif named is not None and n >= 20:
        assert verdict(statistical_test=BootstrapTTest(paired=not named[1])).status != "invalid"


def test_what_never_varies_relies_on_no_distribution():
    """Its p-value is that of the signs."""
    verdict = judge([0.5] * 8, [1.5] * 8, "increase")
    assert (verdict.status, verdict.degenerate) == ("supported", True)
    assert "normal" not in verdict.caveat


def test_hardly_there_is_said_of_what_the_interval_excludes():
    """Not of what a larger sample would have shown."""
    noise = np.random.default_rng(0).normal(size=20)
    centred = ((noise - noise.mean()) / noise.std(ddof=1) + 0.2).tolist()
    assert "the interval excludes the 1 you declared: it is hardly there" in (
        judge([0.0] * 20, centred, "increase", effect=1.0).reason
    )
    assert "hardly there" not in judge([0.0] * 20, centred, "increase", effect=0.6).reason


def test_what_is_hardly_there_lies_beyond_the_interval_that_is_shown():
    """In a family of claims that is wider than the interval of one claim alone."""
    noise = np.random.default_rng(0).normal(size=20)
    centred = ((noise - noise.mean()) / noise.std(ddof=1) + 0.2).tolist()
    claim = Hypothesis(metric="x", direction="increase", effect=0.75)
    alone, among = (
        experiment([0.0] * 20, [claim], **dict.fromkeys(names, centred))().run().hypotheses[0].verdicts["a"]
        for names in ("a", "abc")
    )
    assert "hardly there" in alone.reason
    assert among.interval[1] > 0.75 > alone.interval[1]
    assert "hardly there" not in among.reason
    ranks = judge([1] * 30, [1, 0] + [1] * 28, "increase", effect=0.5, statistical_test=MannWhitneyTest())
    assert ranks.interval == (0.0, 0.0)  # of a shift, which is no difference of means
    assert "hardly there" not in ranks.reason
    assert "the data allow that nothing changes" in ranks.reason


def test_a_part_of_nothing_is_nothing():
    """Not an effect that no number of replicates would show."""
    verdict = judge([-1.0, 1, -2, 2], [-1.1, 1, -2, 2.2], "increase", effect=0.1, relative=True)
    assert "the baseline's mean is 0, of which the 10 % you declared is nothing" in verdict.reason


def test_standardized_effects_are_part_of_a_verdict():
    """Of numbers that vary: d_z of pairs, Hedges g and Cliff's delta of independent samples."""
    values = np.random.default_rng(0).normal(size=(2, 12)).tolist()
    paired, apart = judge(*values, "differ"), judge(*values, "differ", pairing="none")
    assert set(paired.effect_sizes) == {"d_z"}
    assert paired.effect_sizes["d_z"]["estimate"] == pytest.approx(d_z(*values).estimate)
    assert set(apart.effect_sizes) == {"Hedges g", "Cliff's delta"}
    assert judge([0, 1] * 6, [1, 1] * 6, "differ").effect_sizes == {}


def test_the_p_value_beside_a_refutation_is_the_one_that_refutes():
    """That of a guard is near 1 where its margin is exceeded; its opposite's is small."""
    values = np.random.default_rng(0).normal(size=20)
    verdict = judge(values.tolist(), (values - 3 + values / 10).tolist(), "no_decrease", margin=1.0)
    assert verdict.status == "refuted"
    assert verdict.p_value > 0.99
    assert verdict.deciding_p == verdict.opposite_p < 0.001


@pytest.mark.parametrize(("direction", "worst"), [("no_decrease", 1.0), ("no_increase", 0.1)])
def test_the_worst_is_not_exceeded(direction, worst):
    """It is a value of the metric, not the size of a loss."""
    verdict = judge([0.9] * 20, [0.9, 0.6] * 10, direction, margin=0.5, worst=worst)
    assert verdict.status == "invalid"
    assert f"which is worse than worst={worst:g}" in verdict.reason


@pytest.mark.parametrize("where", [1.0, 4096.0])
def test_p_does_not_jump_where_equal_differences_end(where):
    """A spread a little beyond rounding is worth little more than none at all."""
    baseline = [where] * 3
    p_values = []
    for spread in (0.0, 2.0e-13, 2.2e-13, 2.4e-13, 3e-13, 1e-12):
        treatment = [2 * where, 2 * where * (1 + spread / 2), 2 * where * (1 + spread)]
        p_values.append(judge(baseline, treatment, "differ").p_value)
    assert p_values[0] == 0.25
    assert all(0 < before / 12 < after <= before for before, after in itertools.pairwise(p_values))


def test_a_bootstrap_t_test_allows_for_skewness():
    """It is named on a claim; so is a statistic of one's own, and too few values are refused."""
    lost = -np.exp(np.random.default_rng(4).normal(size=30))
    before, after = [0.0] * 30, (lost + 1.2).tolist()
    plain = judge(before, after, "differ")
    test = BootstrapTTest(draws=999)
    allowing = judge(before, after, "differ", statistical_test=test)
    assert (allowing.test, allowing.n) == ("bootstrap t", 30)
    assert allowing == judge(before, after, "differ", statistical_test=test)
    # The interval reaches farther to the side on which the rare losses lie.
    below = [verdict.difference - verdict.interval[0] for verdict in (plain, allowing)]
    assert below[1] > 1.1 * below[0]
    few = judge(before[:19], after[:19], "differ", statistical_test=test)
    assert (few.status, "at least 20" in few.reason) == ("invalid", True)
    halved = BootstrapTTest(statistic=lambda b, t: (t.mean() - b.mean()) / 2, draws=999)
    own = judge(before, after, "differ", statistical_test=halved)
    assert own.difference == pytest.approx(allowing.difference / 2)
    assert own.interval == pytest.approx([end / 2 for end in allowing.interval])
