"""Claims about ratios, quantiles and win rates, and with covariates."""

import random

import numpy as np
import pytest
from recorded import arm, arms, experiment

from crystallize import (
    AnytimeValid,
    ConditionRuns,
    Experiment,
    GroupSequential,
    Hypothesis,
    LogRatioTest,
    QuantileTest,
    Ratio,
    RunRecord,
    Treatment,
    WinRateTest,
    YuenTest,
    evaluate,
    pipeline_step,
)
from crystallize.analysis.calibration import calibrate
from crystallize.claims.policy import Judging
from crystallize.context.recording import MetricEntry
from crystallize.errors import DefinitionError
from crystallize.stats import adjusted_t, crossed_t, quantile_test, ratio_of_totals, win_rate, yuen_t

COST, SUCCESS = [5.0, 7.0, 4.0, 6.0, 8.0, 5.5], [2, 3, 1, 2, 4, 2]
CHEAPER, MORE = [4.0, 6.0, 4.0, 5.0, 6.5, 4.5], [2, 3, 2, 3, 4, 2]
PER = Ratio("cost", "success")


def runs(condition, *, first_seed=100, units=None, **columns):
    """Return runs that record several metrics; a list is several values, of the units if there are some."""
    records = []
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        entries = []
        for metric, value in zip(columns, row, strict=True):
            several = value if isinstance(value, list) else [value]
            for j, one in enumerate(several):
                unit = units[j] if units and isinstance(value, list) else None
                entries.append(MetricEntry(metric, one, unit, False, "step"))
        records.append(RunRecord(condition, i, first_seed + i, tuple(entries)))
    return ConditionRuns(condition, records)


def both(first, second, **options):
    return runs("baseline", **first, **options), runs("t", **second, **options)


def costs(**options):
    return both({"cost": COST, "success": SUCCESS}, {"cost": CHEAPER, "success": MORE}, **options)


def claim(direction="decrease", *, metric="x", **options):
    return Hypothesis(metric=metric, direction=direction, **options)


def noise(seed, n, sd=1.0, mean=0.0):
    draw = random.Random(seed)
    return [draw.gauss(mean, sd) for _ in range(n)]


# Ratios.


def test_a_ratio_is_of_the_totals():
    """Its means are the ratios, and its difference that of them."""
    hypothesis = claim(metric=PER)
    verdict = evaluate(hypothesis, *costs())
    expected = ratio_of_totals(COST, CHEAPER, denominators=(SUCCESS, MORE))
    assert (verdict.p_value, verdict.interval) == (expected.p_value, expected.interval)
    assert (verdict.baseline_mean, verdict.treatment_mean) == (35.5 / 14, 30 / 16)
    assert (hypothesis.name, verdict.metric) == ("cost_per_success_decrease", "cost per success")
    assert (verdict.estimand, verdict.status) == ("difference of the ratios", "supported")
    assert verdict.detectable > 0


@pytest.mark.parametrize(
    ("direction", "options", "change", "status"),
    [
        ("increase", {"at_least": 2.0}, 1.2, "refuted"),
        ("increase", {"at_least": 2.0}, 3.5, "supported"),
        ("no_increase", {"margin": 2.0}, 3.5, "refuted"),
        ("no_increase", {"margin": 2.0}, 1.2, "supported"),
        ("decrease", {"at_least": 0.5}, -0.9, "supported"),
    ],
)
@pytest.mark.parametrize("pairing", ["auto", "none"])
def test_a_ratio_below_zero_may_rise_by_more_than_it_is(direction, options, change, status, pairing):
    """From -1 to 2.5, by 350 %, was SUPPORTED to be by no more than 200 %, and to 0.2 by no less."""
    steps = [5, 6, 3, 7, 4, 5, 6, 4, 7, 3] * 2
    for base in (-1.0, 1.0):
        before = [base * k + e for k, e in zip(steps, noise(1, 20, 0.5), strict=True)]
        after = [(base + change) * k + e for k, e in zip(steps, noise(2, 20, 0.5), strict=True)]
        arms = both({"reward": before, "steps": steps}, {"reward": after, "steps": steps})
        hypothesis = claim(
            direction, metric=Ratio("reward", "steps"), relative=True, pairing=pairing, **options
        )
        verdict = evaluate(hypothesis, *arms)
        assert verdict.status == status
        low, high = verdict.interval
        assert low < verdict.difference < high
        assert verdict.difference == pytest.approx(change, rel=0.15)


def test_a_ratio_of_totals_beyond_floats():
    """Each value is a float, and so is their ratio, which is that of the means."""
    costs, units = [1.5e308] * 4, [1e308, 1e308, 0.5e308, 0.5e308]
    first = runs("baseline", cost=costs, success=units)
    second = runs("t", cost=costs, success=costs)
    verdict = evaluate(claim(metric=PER), first, second)
    assert (verdict.baseline_mean, verdict.treatment_mean) == (2.0, 1.0)


def test_the_rounding_of_what_is_added_up_is_no_difference_of_ratios():
    """A total of numbers of single precision is a double, and no more precise than they are."""
    tokens = np.random.default_rng(1).integers(1000, 5000, (2, 20, 3))
    up, down = (np.nextafter(np.float32(0.3), way, dtype=np.float32) for way in (1, 0))
    first, second = both(
        {"cost": (tokens[0] * down).astype(np.float32).tolist(), "success": tokens[0].tolist()},
        {"cost": (tokens[1] * up).astype(np.float32).tolist(), "success": tokens[1].tolist()},
    )
    for direction in ("increase", "differ"):
        verdict = evaluate(claim(direction, metric=PER), first, second)
        assert (verdict.status, verdict.degenerate, verdict.p_value) == ("inconclusive", True, 1.0)


def test_totals_are_added_up_one_by_one():
    """The same in each version of Python, some of which compensate the rounding of `sum`."""
    costs = {"cost": [[0.1] * 10] * 5, "success": [[1] * 10] * 5}
    verdict = evaluate(claim(metric=PER), *both(costs, costs))
    assert verdict.baseline_mean == 0.09999999999999998  # 0.1 + 0.1 + ... is 0.9999999999999999


def test_sizes_of_a_ratio():
    """Absolute, or a part of the baseline's ratio; against a number, as well."""
    least = evaluate(claim(metric=PER, at_least=0.1, relative=True, alternative="one-sided"), *costs())
    options = {"denominators": (SUCCESS, MORE), "relative": True, "alternative": "less"}
    assert least.p_value == ratio_of_totals(COST, CHEAPER, shift=-0.1, **options).p_value
    assert (least.relative, least.estimand) == (True, "relative change of the ratio")
    guard = evaluate(claim("no_increase", metric=PER, margin=0.2), *costs())
    assert guard.status == "supported"
    worse = both({"cost": CHEAPER, "success": MORE}, {"cost": COST, "success": SUCCESS})
    harm = evaluate(claim("no_increase", metric=PER, margin=0.01, relative=True), *worse)
    assert harm.status == "refuted"
    bar = claim(metric=PER, against=2.0)
    result = experiment_of_costs([bar]).run().hypotheses[0].verdicts
    assert result["t"].baseline_mean == 2.0
    assert result["t"].difference == pytest.approx(30 / 16 - 2)


def experiment_of_costs(hypotheses):

    columns = {"baseline": (COST, SUCCESS), "t": (CHEAPER, MORE)}

    @pipeline_step()
    def give(data, ctx, *, arm="baseline"):
        cost, success = (column[ctx.replicate % 6] for column in columns[arm])
        return data, {"cost": cost, "success": success}

    return Experiment(
        0,
        [give],
        treatments=[Treatment("t", {"arm": "t"})],
        hypotheses=hypotheses,
        replicates=6,
    )


def test_several_values_of_a_replicate_add_up():
    """So that a ratio is of totals, however many there are of each."""
    split = [[cost - 1, 1.0] for cost in COST]
    successes = [[1] * s for s in SUCCESS]
    one = evaluate(claim(metric=PER), *costs())
    several = evaluate(
        claim(metric=PER),
        runs("baseline", cost=split, success=successes),
        runs("t", cost=CHEAPER, success=MORE),
    )
    assert several.p_value == pytest.approx(one.p_value, rel=1e-9)


def test_a_ratio_follows_the_design():
    """Units under several seeds, resplits, independent runs; by Holm where pairs are compared."""
    table = [[10.0 + i + 2 * j + ((i * j) % 3) / 9 for j in range(4)] for i in range(6)]
    less = [[0.7 * v + ((i + j) % 2) / 9 for j, v in enumerate(row)] for i, row in enumerate(table)]
    count = [[1 + (i + j) % 3 for j in range(4)] for i in range(6)]
    crossed = evaluate(
        claim(metric=PER),
        *both({"cost": table, "success": count}, {"cost": less, "success": count}, units=list("abcd")),
    )
    assert (crossed.test, crossed.population) == ("ratio of totals, crossed t", "seeds and cases")
    resplit = evaluate(claim(metric=PER), *costs(), judging=Judging(resampled=0.2))
    assert resplit.test == "ratio of totals, resampled t"
    before, after = costs()
    apart = evaluate(claim(metric=PER), before, runs("t", first_seed=900, cost=CHEAPER, success=MORE))
    assert apart.test == "ratio of totals, Welch t"
    assert experiment_of_costs([claim("differ", metric=PER, pairwise=True)]).run().hypotheses
    del after


def test_a_ratio_lacks_what_either_metric_lacks():
    """Of either condition; and units have to be those of both."""
    lacking = both(
        {"cost": COST, "success": SUCCESS}, {"cost": CHEAPER, "success": [float("nan"), *MORE[1:]]}
    )
    assert "metric 'success' is nan in replicate 0 of 't'" in evaluate(claim(metric=PER), *lacking).reason
    none = both({"cost": COST, "success": [0] * 6}, {"cost": CHEAPER, "success": MORE})
    assert "the denominator of baseline is 0 throughout" in evaluate(claim(metric=PER), *none).reason
    cells = {"cost": [[1.0, 2.0]] * 6, "success": SUCCESS}
    mixed = evaluate(claim(metric=PER), *both(cells, cells, units=["a", "b"]))
    assert "are recorded with other units" in mixed.reason


# Covariates.

LOAD, LATER = noise(1, 12), noise(2, 12)
SLOW = [10 + load + e for load, e in zip(LOAD, noise(3, 12, 0.2), strict=True)]
FAST = [9.4 + load + e for load, e in zip(LATER, noise(4, 12, 0.2), strict=True)]


def loads(**options):
    return both({"x": SLOW, "load": LOAD}, {"x": FAST, "load": LATER}, **options)


def test_a_covariate_saves_variance_and_says_how_much():
    """The means stay those of the values; the difference is adjusted."""
    plain, adjusted = (evaluate(claim(covariate=c), *loads()) for c in (None, "load"))
    expected = adjusted_t(SLOW, FAST, covariates=(LOAD, LATER))
    assert (adjusted.p_value, adjusted.difference) == (expected.p_value, expected.estimate)
    assert (plain.status, adjusted.status) == ("inconclusive", "supported")
    assert (adjusted.covariate, adjusted.saved > 0.8, plain.saved) == ("load", True, None)
    assert adjusted.detectable < plain.detectable
    before, after = loads()
    later = runs("t", first_seed=900, x=FAST, load=LATER)
    assert evaluate(claim(covariate="load"), before, later).test == "adjusted Welch t"
    del after


def test_covariates_of_units():
    """Crossed with seeds."""
    draw = random.Random(0)
    x, y = ([[draw.gauss(0, 1) for _ in range(5)] for _ in range(6)] for _ in range(2))
    before = [[10 + v + draw.gauss(0, 0.1) for v in row] for row in x]
    after = [[9.5 + v + draw.gauss(0, 0.1) for v in row] for row in y]
    sample = both({"x": before, "load": x}, {"x": after, "load": y}, units=list("abcde"))
    verdict = evaluate(claim(covariate="load"), *sample)
    assert (verdict.status, verdict.population) == ("supported", "seeds and cases")
    assert verdict.saved > 0.8


def test_a_covariate_that_is_changed_is_refused():
    """It is a result, and the verdict is invalid; so is one that is not recorded."""
    changed = both({"x": SLOW, "load": LOAD}, {"x": FAST, "load": [v + 5 for v in LOAD]})
    verdict = evaluate(claim(covariate="load"), *changed)
    assert "the treatment changes the covariate (by 5" in verdict.reason
    missing = evaluate(claim(covariate="lod"), *loads())
    assert "metric 'lod' is missing in replicate 0 of 'baseline'" in missing.reason


# Quantiles and wins.


def test_quantiles_of_replicates():
    """Pairs, independent samples, one sample; with margins, absolute or relative."""
    values = [abs(v) + 1 for v in noise(5, 120)]
    slower = [v * 1.6 for v in values]
    hypothesis = claim("increase", statistical_test=QuantileTest(0.9))
    verdict = evaluate(hypothesis, *arms(values, slower))
    assert verdict.p_value == quantile_test(values, slower, q=0.9).p_value
    assert (verdict.status, verdict.estimand) == ("supported", "difference of the 90 % quantiles")
    apart = evaluate(hypothesis, arm("baseline", values), arm("t", slower, first_seed=900))
    assert apart.p_value == quantile_test(values, slower, q=0.9, paired=False).p_value
    less = claim("no_increase", margin=0.9, relative=True, statistical_test=QuantileTest(0.9))
    relative = evaluate(less, *arms(values, slower))
    assert (relative.status, relative.relative) == ("supported", True)
    assert relative.estimand == "relative change of the 90 % quantile"
    assert relative.difference == pytest.approx(0.6, abs=0.02)
    bar = experiment(values, [claim(against=9.0, statistical_test=QuantileTest(0.9))])().run()
    assert bar.hypotheses[0].verdicts["baseline"].status == "supported"


def test_trimmed_means_follow_the_design():
    """Pairs, independent samples, one sample; units under several seeds are refused."""
    values = noise(7, 20)
    larger = [v + 1 for v in noise(8, 20)[:-1]] + [1e9]
    hypothesis = claim("increase", statistical_test=YuenTest())
    verdict = evaluate(hypothesis, *arms(values, larger))
    assert (verdict.status, verdict.test) == ("supported", "Yuen t")
    assert verdict.p_value == yuen_t(values, larger).p_value
    assert verdict.estimand == "difference of the 20 % trimmed means"
    apart = evaluate(hypothesis, arm("baseline", values), arm("t", larger, first_seed=900))
    assert apart.p_value == yuen_t(values, larger, paired=False).p_value
    bar = experiment(values, [claim(against=9.0, statistical_test=YuenTest())])().run()
    assert bar.hypotheses[0].verdicts["baseline"].status == "supported"
    guard = claim("no_increase", margin=0.2, statistical_test=YuenTest())
    assert evaluate(guard, *arms(values, larger)).status == "refuted"
    cells = [[1.0, 2.0]] * 20
    crossed = evaluate(hypothesis, *arms(cells, cells, units=["a", "b"]))
    assert "record the trimmed mean of each replicate as a metric" in crossed.reason
    few = evaluate(hypothesis, *arms(values[:4], values[:4]))
    assert "the Yuen t test needs at least 5 replicates, not 4" in few.reason


def test_few_beyond_a_quantile_are_told_and_fewer_refused():
    """Below ten, and below five."""
    values = noise(6, 120)
    test = QuantileTest(0.95)
    told = evaluate(claim("differ", statistical_test=test), *arms(values, values[::-1]))
    assert "about 6 of 120 values lie beyond the 95 % quantile" in told.caveat
    few = evaluate(claim("differ", statistical_test=test), *arms(values[:99], values[:99]))
    assert "the quantile test needs at least 100 replicates, not 99" in few.reason
    cells = [[1.0, 2.0]] * 120
    crossed = evaluate(claim(statistical_test=test), *arms(cells, cells, units=["a", "b"]))
    assert "record the quantile of each replicate as a metric" in crossed.reason


def test_ratings_win_pairs():
    """Of which only the order counts; margins are of the win rate."""
    before, after = [3, 2, 4, 3, 3, 2, 1, 4, 2], [4, 4, 5, 3, 5, 3, 2, 4, 4]
    hypothesis = claim("increase", statistical_test=WinRateTest())
    verdict = evaluate(hypothesis, *arms(before, after))
    assert verdict.p_value == win_rate(before, after).p_value
    assert (verdict.status, verdict.estimand, verdict.difference) == (
        "supported",
        "win rate",
        pytest.approx(8 / 9),
    )
    assert evaluate(hypothesis, *arms(after, before)).status == "refuted"
    for options, status in (
        ({"direction": "no_decrease", "margin": 0.1}, "supported"),
        ({"direction": "no_increase", "margin": 0.1}, "refuted"),
        ({"direction": "equal", "margin": 0.1}, "refuted"),
        ({"direction": "no_decrease", "detects": 0.1}, "no harm shown"),
    ):
        assert (
            evaluate(claim(**options, statistical_test=WinRateTest()), *arms(before, after)).status == status
        )
    apart = evaluate(hypothesis, arm("baseline", before), arm("t", after, first_seed=900))
    assert "the win rate test needs pairs" in apart.reason
    draw = random.Random(0)
    table = [[draw.randint(1, 5) for _ in range(6)] for _ in range(8)]
    better = [[v + draw.randint(0, 2) for v in row] for row in table]
    crossed = evaluate(hypothesis, *arms(table, better, units=list("abcdef")))
    wins = [
        (b < a) / 2 - (b > a) / 2
        for x, y in zip(table, better, strict=True)
        for b, a in zip(x, y, strict=True)
    ]
    expected = crossed_t(
        [0.0] * 48, wins, replicates=[i for i in range(8) for _ in range(6)], units=list("abcdef") * 8
    )
    assert crossed.p_value == pytest.approx(expected.p_value, rel=1e-12)


# Wherever they are declared.


@pytest.mark.parametrize(
    "hypothesis",
    [
        claim("increase", statistical_test=WinRateTest()),
        claim("increase", statistical_test=QuantileTest(0.5)),
        claim("increase", covariate="y"),
    ],
)
def test_looks(hypothesis):
    """GroupSequential at each; AnytimeValid has no such test."""
    n = 60
    values = noise(7, n)
    more = [v + 1.5 + e for v, e in zip(values, noise(8, n, 0.1), strict=True)]

    @pipeline_step()
    def give(data, ctx, *, better=False):
        return data, {"x": (more if better else values)[ctx.replicate], "y": ctx.rng.normal()}

    def make(stopping):
        treatments = [Treatment("t", {"better": True})]
        return Experiment(
            0, [give], treatments=treatments, hypotheses=[hypothesis], replicates=n, stopping=stopping
        )

    verdict = make(GroupSequential()).run().hypotheses[0].verdicts["t"]
    assert verdict.status == "supported"
    assert verdict.look < verdict.looks
    with pytest.raises(DefinitionError, match="AnytimeValid"):
        make(AnytimeValid())


@pytest.mark.parametrize("test", [WinRateTest(), QuantileTest(0.5), LogRatioTest()])
def test_calibration(test):
    """They keep their level on the baseline against itself."""
    values = [random.Random(i).lognormvariate(0, 1) for i in range(1000)]
    assert (
        calibrate(claim("differ", statistical_test=test), arm("baseline", values), 10).status == "calibrated"
    )


def test_ratios_are_calibrated_where_nothing_has_to_be_moved():
    """A claim with a sign is; a margin can't be reached by moving one metric."""
    draw = random.Random(0)
    many = runs(
        "baseline",
        cost=[draw.gauss(9, 1) for _ in range(400)],
        success=[draw.randint(1, 5) for _ in range(400)],
    )
    assert calibrate(claim("differ", metric=PER), many, 10).status == "calibrated"
    assert "can't be moved" in calibrate(claim("no_increase", metric=PER, margin=1.0), many, 10).reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"metric": PER, "statistical_test": LogRatioTest(), "relative": False},
            "a ratio is of totals, of which the log",
        ),
        ({"metric": PER, "statistical_test": WinRateTest()}, "a ratio of totals has a test of its own"),
        ({"metric": PER, "kind": "binary"}, "a ratio of totals has a test of its own"),
        ({"metric": PER, "nan_policy": "omit", "max_missing": 1}, "a ratio of totals has a test of its own"),
        ({"metric": PER, "covariate": "y"}, "no test of ratios takes one"),
        ({"covariate": "x"}, "a metric is no covariate of itself"),
        ({"covariate": 3}, "give the name of another metric"),
        ({"covariate": "y", "at_least": 0.1, "relative": True}, "compared by their difference"),
        ({"covariate": "y", "against": 1.0}, "whose covariate nobody knows"),
        ({"covariate": "y", "statistical_test": WinRateTest()}, "adjusted for it by a test of its own"),
        ({"against": 1.0, "statistical_test": WinRateTest()}, "which the win rate test does not do"),
        (
            {"at_least": 0.1, "relative": True, "statistical_test": WinRateTest()},
            "the win rate test takes an absolute margin",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    """Where it is written."""
    with pytest.raises(DefinitionError, match=message):
        claim(**options)


def test_names_and_quantiles_are_checked():
    """When they are made."""
    for names in (("cost", "cost"), ("", "x"), ("x", 3)):
        with pytest.raises(DefinitionError, match="give the names of two metrics"):
            Ratio(*names)
    for q in (0, 1, True, "0.9"):
        with pytest.raises(DefinitionError, match=r"q is .*; allowed is a number between 0 and 1"):
            QuantileTest(q)
    with pytest.raises(DefinitionError, match="resplits"):
        experiment([1.0], [claim(statistical_test=QuantileTest(0.5))], t=[1.0])(resampled=0.2)
