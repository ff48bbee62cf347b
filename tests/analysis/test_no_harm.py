"""Claims of no harm: an alarm that says what its silence excludes."""

import random

import pytest
from recorded import arm, arms, experiment

from crystallize import (
    AnytimeValid,
    BoschlooTest,
    FisherExactTest,
    GroupSequential,
    Hypothesis,
    LogRatioTest,
    McNemarTest,
    WelchTTest,
    WinRateTest,
    evaluate,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.decide import verdict_on
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.sample import ClaimSample
from crystallize.analysis.unchanged import unchanged_passes
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import mcnemar, paired_t

NOISE = [0.3, -0.9, 1.2, -0.4, 0.8, -1.1, 0.5, -0.4, 0.7, -0.7]


def moved(by):
    return [by + e for e in NOISE]


def claim(direction="no_decrease", *, detects=0.5, **options):
    return Hypothesis(metric="x", direction=direction, detects=detects, **options)


def judged(treatment, hypothesis, baseline=(0.0,) * 10, **options):
    return evaluate(hypothesis, *arms(list(baseline), treatment), **options)


def test_the_interval_of_a_win_rate_ends_where_wins_and_losses_are_even():
    """An alarm that is refuted excludes 1/2, where both are alike; it ended at 0, below the estimate."""
    verdict = judged([0.0] * 11 + [1.0], claim(detects=0.05, statistical_test=WinRateTest()), [1.0] * 12)
    low, high = verdict.interval
    assert verdict.status == "refuted"
    assert low <= verdict.difference <= high < 0.5


@pytest.mark.parametrize(("losses", "options"), [(3, {}), (3, {"statistical_test": McNemarTest()})])
def test_where_no_harm_is_shown_the_interval_allows_that_there_is_none(losses, options):
    """Tango's interval excludes 0 where McNemar's mid-p does not reject it."""
    verdict = judged([0] * losses + [1] * (12 - losses), claim(detects=0.1, **options), [1] * 12)
    low, high = verdict.interval
    assert verdict.status == "inconclusive"
    assert low <= -0.1
    assert high >= 0
    assert "no harm is shown" in verdict.reason


@pytest.mark.parametrize(
    ("by", "status"),
    [(0.5, "no harm shown"), (0.0, "no harm shown"), (-0.35, "inconclusive"), (-0.6, "refuted")],
)
def test_harm_is_shown_or_a_loss_is_excluded_or_neither(by, status):
    """At alpha the one, at .2 the other."""
    for direction, sign in (("no_decrease", 1), ("no_increase", -1)):
        values = [sign * value for value in moved(by)]
        verdict = judged(values, claim(direction))
        side = "greater" if sign == 1 else "less"
        excluded = paired_t([0.0] * 10, values, shift=-0.5 * sign, alternative=side)
        assert (verdict.status, verdict.p_value) == (status, excluded.p_value)
        assert verdict.passed == (status == "no harm shown") == verdict.details["accepted"]
        low, high = sorted(sign * end for end in verdict.interval)
        assert {
            "no harm shown": low > -0.5 and verdict.confidence == pytest.approx(0.6),
            "inconclusive": low <= -0.5 and high >= 0,
            "refuted": high < 0 and verdict.confidence == pytest.approx(0.9),
        }[status]
        assert verdict.detects == 0.5
    assert {
        "no harm shown": "a rise of 0.5 is excluded at 80 %",
        "inconclusive": "no harm is shown, but a rise of 0.5 is not excluded; about",
        "refuted": "x does harm: difference",
    }[status] in verdict.reason


def test_harm_is_shown_first():
    """A loss that is shown is none that nobody minds, however small."""
    verdict = judged([-0.1 + e / 100 for e in NOISE], claim())
    assert verdict.p_value < 0.001
    assert verdict.status == "refuted"
    assert verdict.opposite_p < 0.001


def test_missing_evidence_is_invalid():
    """As ever."""
    assert judged([float("nan"), *moved(1.0)[1:]], claim()).status == "invalid"
    assert judged(moved(1.0)[:2], claim(), [0.0] * 2).status == "invalid"


def test_rates_are_tested_as_such():
    """A loss by Tango's score, harm by McNemar's test."""
    before, after = [1] * 36 + [0] * 4, [1] * 35 + [0] * 5
    verdict = judged(after, claim(detects=0.1), before)
    expected = mcnemar(before, after, shift=-0.1, alternative="greater").p_value
    assert (verdict.status, verdict.p_value) == ("no harm shown", expected)
    harm = judged([1] * 30 + [0] * 10, claim(detects=0.1), before)
    expected = mcnemar(before, [1] * 30 + [0] * 10, alternative="less").p_value
    assert (harm.status, harm.opposite_p) == ("refuted", expected)


def test_equal_replicates_exclude_a_loss_by_their_number():
    """Three by their signs; where the worst value is known, by how rarely it may occur."""
    assert judged([1.0] * 3, claim(), [1.0] * 3).status == "no harm shown"
    verdict = judged([1.0] * 30, claim(detects=0.02, kind="numeric", worst=0.0), [1.0] * 30)
    assert (verdict.status, verdict.p_value) == ("inconclusive", pytest.approx(0.98**30))


def test_a_loss_in_percent():
    """Of the baseline's mean, or by ratio; harm is any fall."""
    base = [10.0 + e for e in NOISE]
    for test in ("auto", LogRatioTest()):
        guard = claim(detects=0.05, relative=True, statistical_test=test)
        assert judged([v * 1.001 + 0.01 * (i % 2) for i, v in enumerate(base)], guard, base).passed
        harmful = judged([v * 0.97 + 0.01 * (i % 2) for i, v in enumerate(base)], guard, base)
        assert (harmful.status, harmful.relative) == ("refuted", True)


def test_alarms_are_corrected_for_their_number():
    """As the harm of guards with a margin is; that a loss is excluded is not."""
    hypotheses = tuple(claim(name=f"{i}") for i in range(4))
    plan = AnalysisPlan(hypotheses, ("t",), 10)
    values = moved(-0.6)
    analysis = Analysis(plan, {"baseline": arm("baseline", [0.0] * 10), "t": arm("t", values)})
    assert judged(values, hypotheses[0]).status == "refuted"
    verdict = analysis.verdict(hypotheses[0], "t")
    assert verdict.adjusted_p is None
    assert verdict.status == "inconclusive"


def test_looks_spend_both_levels():
    """It ends early where a loss is excluded at a look, or harm is shown."""
    for by, status in ((1.0, "no harm shown"), (-1.0, "refuted")):
        made = experiment([0.0] * 30, [claim()], t=moved(by) * 3)
        verdict = made(stopping=GroupSequential()).run().hypotheses[0].verdicts["t"]
        assert verdict.status == status
        assert verdict.look < verdict.looks
    with pytest.raises(DefinitionError, match="has detects=, which is decided at two levels"):
        experiment([0.0] * 30, [claim()], t=moved(1.0) * 3)(stopping=AnytimeValid())


@pytest.mark.parametrize(("detects", "loss"), [(0.45, 0.8), (1.5, 1.0)])
@pytest.mark.parametrize("futility", [True, False])
def test_no_early_look_hides_harm_that_is_coming(detects, loss, futility):
    """Neither is it given up for the loss that is not excluded, nor green since a larger one is."""
    draws, stopping, found = random.Random(4), GroupSequential(futility=futility), []
    for _ in range(30):
        values = [draws.gauss(-loss, 1.0) for _ in range(30)]
        whole = judged(values, claim(detects=detects), [0.0] * 30)
        early = judged(values, claim(detects=detects), [0.0] * 30, judging=Judging(stopping=stopping))
        found.append((whole.status, early.status))
    assert [early for whole, early in found if whole == "refuted"].count("refuted") >= 28


@pytest.mark.parametrize("n", [5, 6, 8, 20])
def test_no_look_gives_up_where_every_replicate_is_harm(n):
    """Equal differences give 2^(-n), of which z is no trend: four of five were too few for the last look."""
    alarm = claim(detects=1.0, kind="numeric")
    early = judged([0.0] * n, alarm, [1.0] * n, judging=Judging(stopping=GroupSequential()))
    assert (early.status, judged([0.0] * n, alarm, [1.0] * n).status) == ("refuted", "refuted")


def test_against_a_number_and_by_resplits():
    """One sample; and what overlaps is allowed for."""
    result = experiment(moved(1.0), [claim(against=0.9)])().run()
    assert result.hypotheses[0].verdicts["baseline"].status == "no harm shown"
    assert judged(moved(0.5), claim(), judging=Judging(resampled=0.2)).test == "resampled t"


def test_samples_alone_are_decided_at_the_same_levels():
    """Whoever asks."""
    for by in (0.5, -0.35, -0.6):
        alone = verdict_on(claim(), {"x": [0.0] * 10}, {"x": moved(by)})
        assert alone.status == judged(moved(by), claim()).status


def test_what_is_told_of_unchanged_code():
    """It passes unless the alarm goes off by chance."""
    guard = claim(detects=50.0).claim
    assert unchanged_passes(guard, ClaimSample(NOISE, NOISE, False), WelchTTest(), 0.2) == pytest.approx(0.95)


def test_a_true_loss_passes_in_at_most_one_of_five():
    """Which calibration sees."""
    values = [random.Random(i).gauss(10, 2) for i in range(1000)]
    found = calibrate(claim(detects=2.0), arm("baseline", values), 10)
    assert (found.status, found.alpha) == ("calibrated", 0.2)
    assert 0.05 < found.rate < 0.35


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "equal"}, "belongs to 'no_decrease' and 'no_increase' without margin="),
        ({"direction": "increase"}, "belongs to 'no_decrease' and 'no_increase' without margin="),
        ({"margin": 1}, "belongs to 'no_decrease' and 'no_increase' without margin="),
        ({"detects": 0}, "no number of replicates shows a difference of exactly 0"),
        ({"detects": -1}, "detects=-1; allowed are positive finite numbers"),
        ({"deterministic": True}, "deterministic=True and detects=0.5"),
        ({"statistical_test": FisherExactTest()}, "the Fisher test knows no margin"),
        ({"relative": True, "kind": "binary"}, "the margin of a rate is absolute"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    """Where it is written."""
    with pytest.raises(DefinitionError, match=message):
        claim(**options)


@pytest.mark.parametrize(("n", "loss"), [(5, 0.2), (10, 0.1), (20, 0.05), (50, 0.02), (100, 0.015)])
@pytest.mark.parametrize("options", [{}, {"pairing": "none"}])
def test_a_rare_loss_of_a_rate_is_not_excluded_where_it_mostly_stays_unseen(n, loss, options):
    """Of ones that turn 0 with that probability, none does in more than .2 of all samples: up to .36."""
    assert (1 - loss) ** n > 0.2
    for first, direction in ((1, "no_decrease"), (0, "no_increase")):
        verdict = judged([first] * n, claim(direction, detects=loss, **options), [first] * n)
        assert verdict.status == "inconclusive"
        assert verdict.p_value > 0.2
        low, high = verdict.interval
        assert low <= -loss if direction == "no_decrease" else high >= loss
        more = [first] * (2 * n)
        assert (1 - loss) ** len(more) < 0.2
        assert judged(more, claim(direction, detects=loss, **options), more).status == "no harm shown"


@pytest.mark.parametrize(("n", "lost"), [(70, [0]), (70, [3]), (100, [0]), (100, [1, 2])])
@pytest.mark.parametrize("options", [{}, {"pairing": "none"}])
@pytest.mark.parametrize("good", [1, 0])
def test_one_loss_of_a_rate_that_hardly_varies_is_not_futile(n, lost, options, good):
    """The p-value of a binomial is no trend: early on it is 1 beside an arm that does not vary."""
    values = [1 - good if i in lost else good for i in range(n)]
    alarm = claim("no_decrease" if good else "no_increase", detects=0.05, **options)
    runs = dict(zip(("baseline", "t"), arms([good] * n, values), strict=True))
    found = []
    for futility in (True, False):
        judging = Judging(stopping=GroupSequential(futility=futility))
        analysis = Analysis(AnalysisPlan((alarm,), ("t",), n, judging), runs)
        found.append(analysis.verdict(alarm, "t"))
    assert found[0].status == found[1].status
    assert "futility" not in found[0].reason


@pytest.mark.parametrize("test", [BoschlooTest(), McNemarTest()])
@pytest.mark.parametrize(("n", "options"), [(20, {"detects": 0.05}), (50, {"margin": 0.05})])
def test_unchanged_code_passes_by_no_rate_that_excludes_too_little(n, options, test):
    """Said was that it passes with .29 or .31; all alike as recorded it never does."""
    for first, direction in ((1, "no_decrease"), (0, "no_increase")):
        guard = Hypothesis(metric="x", direction=direction, **options)
        for more, chance in ((n, 0.0), (2 * n, 0.5)):
            values = [first] * more
            found = unchanged_passes(
                guard.claim, ClaimSample(values, values, test.paired), test, guard.claim.deciding_level
            )
            assert found == 0 if chance == 0 else found > chance
            assert judged(values, guard, values).passed == (chance > 0)
