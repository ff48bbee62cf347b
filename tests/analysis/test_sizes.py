"""Claims that say how large a difference is: at least so much, in percent, by ratio."""

import math

import pytest
from recorded import arm, arms, experiment

from crystallize import (
    AnytimeValid,
    FisherExactTest,
    GroupSequential,
    Hypothesis,
    LogRatioTest,
    PairedTTest,
    QuantileTest,
    StatisticalTest,
    WelchTTest,
    evaluate,
)
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.sensitivity import EffectScale
from crystallize.analysis.unchanged import unchanged_passes
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import log_ratio, mcnemar, paired_t, relative_superiority
from crystallize.stats.power import PairedT, minimum_detectable_effect

SLOW = [10.2, 11.9, 9.1, 14.8, 10.4, 12.2, 11.1, 9.6, 13.0, 10.9]
NOISE = [0.02, -0.01, 0.03, -0.02, 0.0, 0.01, -0.03, 0.02, -0.01, 0.01]


def times(factor):
    return [s * (factor + e) for s, e in zip(SLOW, NOISE, strict=True)]


def claim(direction="decrease", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def judged(treatment, hypothesis, baseline=SLOW, **options):
    return evaluate(hypothesis, *arms(baseline, treatment, **options))


@pytest.mark.parametrize(
    ("factor", "status"), [(0.7, "supported"), (0.8, "inconclusive"), (0.9, "refuted"), (1.1, "refuted")]
)
def test_at_least_so_much(factor, status):
    """Supported, or refuted, if the difference is shown to lie beyond, or short of, what is claimed."""
    relative = judged(times(factor), claim(at_least=0.2, relative=True))
    assert relative.status == status
    expected = relative_superiority(paired_t, SLOW, times(factor), change=-0.2)
    assert relative.p_value == expected.p_value
    assert (relative.relative, relative.at_least) == (True, 0.2)
    absolute = judged(times(factor), claim(at_least=0.2 * sum(SLOW) / 10))
    assert absolute.p_value == paired_t(SLOW, times(factor), shift=-0.2 * sum(SLOW) / 10).p_value
    assert absolute.status in (status, "inconclusive")
    by_ratio = judged(times(factor), claim(at_least=0.2, relative=True, statistical_test=LogRatioTest()))
    assert by_ratio.status == status
    if status == "refuted":
        assert relative.reason.startswith("x changes by less than the 20 % claimed: relative change")
    if status == "inconclusive":
        assert "the data allow less than the 20 % claimed" in relative.reason


def test_at_least_of_rates():
    """By Tango's score; the interval and the level belong together."""
    before, after = [0] * 40, [1] * 30 + [0] * 10
    found = judged(after, claim("increase", at_least=0.3), before)
    assert (found.status, found.p_value) == ("supported", mcnemar(before, after, shift=0.3).p_value)
    assert judged(after, claim("increase", at_least=0.9), before).status == "refuted"


def test_values_that_no_seed_changes():
    """Are compared with what is claimed, which is met exactly."""
    for relative, least in ((False, 0.3), (True, 0.2)):
        hypothesis = claim("increase", at_least=least, relative=relative, deterministic=True)
        assert judged([1.8], hypothesis, [1.5]).status == "supported"
        assert "less than the" in judged([1.7], hypothesis, [1.5]).reason


@pytest.mark.parametrize("stopping", [GroupSequential(), AnytimeValid()])
def test_looks_at_what_is_claimed_at_least(stopping):
    """At every look; AnytimeValid of what is absolute."""
    hypothesis = claim(at_least=1.0)
    made = experiment(SLOW * 3, [hypothesis], t=times(0.7) * 3)
    verdict = made(stopping=stopping).run().get_hypothesis("x_decrease").verdicts["t"]
    assert verdict.status == "supported"
    assert verdict.look < verdict.looks


def test_by_ratio_everything_is_in_percent():
    """Difference, interval, margin and the smallest difference that would be seen."""
    found = judged(
        times(0.9), claim("no_increase", margin=0.05, relative=True, statistical_test=LogRatioTest())
    )
    expected = log_ratio(SLOW, times(0.9), alpha=0.1, alternative="less", shift=0.05)
    assert (found.status, found.p_value, found.interval) == ("supported", expected.p_value, expected.interval)
    assert (found.relative, found.estimand) == (True, "change of the geometric mean")
    noisy = [s * f for s, f in zip(SLOW, [0.5, 2, 0.7, 1.5, 0.9, 1.2, 0.6, 1.8, 1, 1], strict=True)]
    open_ = judged(noisy, claim(effect=0.1, relative=True, statistical_test=LogRatioTest()))
    assert open_.status == "inconclusive"
    logs = [math.log(n / s) for s, n in zip(SLOW, noisy, strict=True)]
    mean = sum(logs) / 10
    sd = math.sqrt(sum((v - mean) ** 2 for v in logs) / 9)
    unseen = minimum_detectable_effect(PairedT(sd), 10)
    assert open_.detectable == pytest.approx(1 - math.exp(-unseen), rel=1e-9)
    assert f"a difference below {100 * open_.detectable:.3g} % goes unseen" in open_.reason
    assert "would show the 10 % you declared" in open_.reason


def test_by_ratio_follows_the_design():
    """Units crossed with seeds, resplits, and runs that share no seeds."""
    table = [[10.0 + i + 2 * j + ((i * j) % 3) / 9 for j in range(4)] for i in range(6)]
    faster = [[0.7 * v + ((i + j) % 2) / 9 for j, v in enumerate(row)] for i, row in enumerate(table)]
    hypothesis = claim(statistical_test=LogRatioTest())
    crossed = judged(faster, hypothesis, table, units=list("abcd"))
    assert (crossed.test, crossed.population, crossed.status) == (
        "log crossed t",
        "seeds and cases",
        "supported",
    )
    resplit = evaluate(hypothesis, *arms(SLOW, times(0.7)), judging=Judging(resampled=0.2))
    assert (resplit.test, resplit.population) == ("log resampled t", "resampled splits of one data set")
    apart = evaluate(hypothesis, arm("baseline", SLOW), arm("t", times(0.7), first_seed=900))
    assert apart.test == "log Welch t"
    number = experiment(times(0.7), [claim(against=9.0, statistical_test=LogRatioTest())])().run()
    assert number.hypotheses[0].verdicts["baseline"].test == "log paired t"


def test_the_ratio_of_means_is_told_where_it_lies_elsewhere():
    """Totals follow it: here the geometric mean falls, and the mean rises."""
    treatment = [s * f for s, f in zip(SLOW, [0.5] * 9 + [9], strict=True)]
    found = judged(treatment, claim(statistical_test=LogRatioTest()))
    assert "totals follow arithmetic means, which differ by +" in found.caveat
    assert "totals" not in judged(times(0.8), claim(statistical_test=LogRatioTest())).caveat


def test_zeros_have_no_ratio():
    """Which makes the verdict invalid."""
    found = judged([0.0, *times(0.7)[1:]], claim(statistical_test=LogRatioTest()))
    assert (found.status, found.test) == ("invalid", "log ratio")
    assert "treatment[0] is 0.0; allowed are positive numbers" in found.reason


def test_a_test_of_one_s_own_says_on_which_scale_it_is():
    """Without, no size can be claimed; what it inherits speaks of another compare()."""

    class Logs(PairedTTest):
        name = "logs"

        def compare(self, baseline, treatment, **options):
            return super().compare(
                [math.log(b) for b in baseline], [math.log(t) for t in treatment], **options
            )

    message = r"does not say what a shift is to compare\(\): set scale = 'difference'"
    for options in ({"direction": "no_increase", "margin": 5.0}, {"at_least": 5.0}):
        with pytest.raises(DefinitionError, match=message):
            claim(**{"direction": "decrease", **options}, statistical_test=Logs())
    assert judged(times(0.7), claim(statistical_test=Logs())).status == "supported"

    class Ratios(StatisticalTest):
        name = "ratios"
        paired = True
        scale = "ratio"

        def compare(self, baseline, treatment, **options):
            return log_ratio(baseline, treatment, **options)

    guard = claim("no_increase", margin=0.05, relative=True, statistical_test=Ratios())
    assert judged(times(1.01), guard).relative
    assert judged(times(1.5), guard).status == "refuted"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_least": 0}, "no number of replicates shows a difference of exactly 0"),
        ({"at_least": -1}, "at_least=-1; allowed are positive finite numbers"),
        ({"direction": "differ", "at_least": 1}, "belongs to 'increase' and 'decrease'"),
        ({"direction": "equal", "margin": 1, "at_least": 1}, "belongs to 'increase' and 'decrease'"),
        ({"at_least": 2, "effect": 1}, "has to be the larger one"),
        ({"at_least": 1, "relative": True}, "nothing falls by all that it is"),
        ({"at_least": 0.1, "relative": True, "kind": "binary"}, "the margin of a rate is absolute"),
        ({"at_least": 0.1, "statistical_test": FisherExactTest()}, "the Fisher test knows no margin"),
        ({"at_least": 5, "statistical_test": LogRatioTest()}, "compares by ratio; say relative=True"),
        ({"effect": 5, "statistical_test": LogRatioTest()}, "compares by ratio; say relative=True"),
        ({"against": 1, "at_least": 0.1, "relative": True}, "one sample is compared with a number; give"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    """Where they are written."""
    with pytest.raises(DefinitionError, match=message):
        claim(**{"direction": "decrease", **options})


def test_anytime_valid_serves_no_ratio():
    """Refused where it is declared."""
    for hypothesis in (claim(statistical_test=LogRatioTest()), claim(at_least=0.2, relative=True)):
        with pytest.raises(DefinitionError, match="AnytimeValid"):
            experiment(SLOW, [hypothesis], t=SLOW)(stopping=AnytimeValid())


def test_unchanged_code_by_ratio():
    """What does not repeat is the spread of the logarithms."""
    guard = claim("no_increase", margin=0.2, relative=True, statistical_test=LogRatioTest()).claim
    assert guard is not None
    chance = unchanged_passes(guard, ClaimSample(SLOW, SLOW, False), LogRatioTest(), 0.05)
    assert chance is not None
    assert 0.2 < chance < 1
    without_logarithms = ClaimSample([0.0, *SLOW], SLOW, False)
    assert unchanged_passes(guard, without_logarithms, LogRatioTest(), 0.05) is None


def test_of_what_is_no_mean_unchanged_code_is_not_told():
    """Its spread is another one than that of the values."""
    guard = claim("no_increase", margin=2.0, statistical_test=QuantileTest(0.5)).claim
    assert guard is not None
    assert unchanged_passes(guard, ClaimSample(SLOW, SLOW, False), QuantileTest(0.5), 0.05) is None


def test_sizes_are_calibrated():
    """At the size that is claimed nothing may be found."""
    values = [10 + ((i * 37) % 101) / 10 for i in range(400)]
    for options in ({"at_least": 1.0}, {"at_least": 0.1, "relative": True}):
        for test in ("auto", LogRatioTest(), WelchTTest()):
            if test != LogRatioTest() or "relative" in options:
                found = calibrate(claim(statistical_test=test, **options), arm("baseline", values), 10)
                assert found.status == "calibrated"


@pytest.mark.parametrize(
    ("direction", "size", "change"), [("increase", 705, math.expm1(705)), ("decrease", 800, 1)]
)
def test_a_ratio_is_shown_where_a_float_holds_it(direction, size, change):
    """As estimates are: what could be detected may be 1e306 times as much."""
    hypothesis = claim(direction, statistical_test=LogRatioTest())
    assert EffectScale(hypothesis.claim, 1.0).shown(size) == change


@pytest.mark.parametrize("kind", [Hypothesis, "number"])
def test_rounding_does_not_exceed_a_quantile(kind):
    """A sum in another order lies above what it is equal to; that is no evidence."""
    exact, summed = [0.3] * 30, [0.1 + 0.2] * 30
    options = {"statistical_test": QuantileTest(0.5), "against": 0.3 if kind == "number" else None}
    for direction in ("increase", "differ"):
        verdict = judged(summed, claim(direction, **options), baseline=exact)
        assert (verdict.status, verdict.p_value, verdict.degenerate) == ("inconclusive", 1.0, True)
    apart = judged([v + 1e-6 for v in summed], claim("increase", **options), baseline=exact)
    assert apart.status == "supported"


@pytest.mark.parametrize("scale", [2.0**-1040, 1.0, 2.0**1023])
@pytest.mark.parametrize("number", [None, -0.5, 0.25])
def test_quantiles_of_any_size(scale, number):
    """Values as large, or as small, as floats can be are judged as others are."""
    before = [0.25 + (i * 37 % 64) / 128 for i in range(40)]
    after = [-0.4 * value for value in before]
    against = None if number is None else number * scale
    hypothesis = claim("differ", statistical_test=QuantileTest(0.5), against=against)
    verdict = judged([v * scale * 1.9 for v in after], hypothesis, baseline=[v * scale * 1.9 for v in before])
    plain = claim("differ", statistical_test=QuantileTest(0.5), against=number)
    expected = judged([1.9 * v for v in after], plain, baseline=[1.9 * v for v in before])
    assert (verdict.status, verdict.p_value) == (expected.status, expected.p_value)
    low, high = verdict.interval
    assert low < verdict.difference < high or math.isinf(verdict.difference)
    assert (low / scale, high / scale) == pytest.approx(expected.interval, rel=1e-4)
