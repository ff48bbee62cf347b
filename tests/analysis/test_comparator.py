"""What conditions are compared with: a number, another treatment, one another."""

import numpy as np
import pytest
from recorded import arm, experiment

from crystallize import (
    AnytimeValid,
    BinomialTest,
    ConditionRuns,
    Curtailment,
    GroupSequential,
    Hypothesis,
    McNemarTest,
    Ratio,
    Reference,
    RunRecord,
    WelchTTest,
    WilcoxonTest,
    verifier,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.calibration import calibrate
from crystallize.analysis.decide import verdict_on
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.policy import Judging
from crystallize.context.recording import MetricEntry
from crystallize.errors import DefinitionError
from crystallize.stats import binomial, paired_t, step_down_max_t, wilcoxon

NOISE = [0.3, -0.9, 1.2, -0.4, 0.8, -1.1, 0.5, -0.4, 0.7, -0.7]


def moved(by):
    return [by + e for e in NOISE]


def other(by):
    return [by + e for e in NOISE[3:] + NOISE[:3]]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def entry(name, value):
    return MetricEntry(name, value, None, False, "step")


def judged(hypothesis, baseline, units=None, **treatments):
    """Return the verdicts on a hypothesis by subject."""
    plan = AnalysisPlan((hypothesis,), tuple(treatments), len(baseline), Judging())
    runs = {name: arm(name, values, units=units) for name, values in treatments.items()}
    analysis = Analysis(plan, {"baseline": arm("baseline", baseline, units=units), **runs})
    return {subject: analysis.verdict(hypothesis, subject) for subject in analysis.subjects(hypothesis)}


def test_a_number_is_a_one_sample_test_of_every_condition():
    """The baseline's too: Student's t of the values less the number."""
    found = judged(claim(against=0.5), moved(0.4), good=moved(2.0))
    assert {name: v.status for name, v in found.items()} == {"baseline": "inconclusive", "good": "supported"}
    verdict = found["good"]
    expected = paired_t([0.5] * 10, moved(2.0), alpha=0.05)
    assert (verdict.p_value, verdict.test) == (expected.p_value, "paired t")
    assert (verdict.comparator, verdict.against, verdict.baseline_mean) == ("number", "0.5", 0.5)
    assert (verdict.family, verdict.hypothesis) == (2, "x_above_0.5")


@pytest.mark.parametrize("number", [0.85, 0.1, 1.3])
@pytest.mark.parametrize(
    "options",
    [{}, {"statistical_test": WilcoxonTest()}, {"deterministic": True}, {"metric": Ratio("x", "n")}],
)
def test_a_number_has_the_precision_of_what_is_compared_with_it(number, options):
    """A value of single precision was SUPPORTED to exceed the number that it is the rounding of."""
    single = float(np.float32(number))
    assert single != number
    values = [single] * 9 + [float(np.nextafter(np.float32(number), np.float32(2)))]
    for direction in ("increase", "decrease", "differ"):
        hypothesis = Hypothesis(**({"metric": "x"} | options), direction=direction, against=number)
        plan = AnalysisPlan((hypothesis,), (), 10, Judging())
        records = [
            RunRecord("baseline", i, i, (entry("x", value), entry("n", 1.0)))
            for i, value in enumerate(values)
        ]
        verdict = Analysis(plan, {"baseline": ConditionRuns("baseline", records)}).verdict(
            hypothesis, "baseline"
        )
        assert (verdict.passed, verdict.difference) == (False, 0.0)
    guard = Hypothesis(metric="x", direction="no_decrease", margin=0.05, against=number + 0.04)
    assert judged(guard, values)["baseline"].status == "supported"


@pytest.mark.parametrize("number", [1.0, 0.7])
def test_a_number_has_half_precision_too(number):
    """Beside one of single precision, values of half precision were apart that rounding alone had moved."""
    half = np.float16(number)
    near = [np.nextafter(half, np.float16(side)) for side in (0, 2, 2, 2)]
    values = [*map(float, near), *(float(np.float16(2.0**k / 7)) for k in range(-4, 10))]
    hypothesis = claim("differ", against=number, statistical_test=WilcoxonTest())
    verdict = judged(hypothesis, values)["baseline"]
    differences = [0.0] * 4 + [value - number for value in values[4:]]
    assert verdict.p_value == wilcoxon([0.0] * 18, differences).p_value


def test_a_number_far_beyond_values_of_single_precision_is_a_double():
    """Its own rounding in single precision exceeded them: five losses counted as equal, and p was 1/16."""
    losses = [float(np.float32(loss)) for loss in (1.1e-9, 2.7e-9, 0.3e-9, 5.9e-9, 1.7e-9)]
    verdict = judged(claim("decrease", against=0.01), losses)["baseline"]
    assert verdict.status == "supported"
    assert verdict.p_value == paired_t([0.01] * 5, losses).p_value


@pytest.mark.parametrize(("number", "direction"), [(2, "decrease"), (-1, "increase"), (1.5, "no_increase")])
def test_beside_a_number_that_is_no_rate_zeros_and_ones_are_numbers(number, direction):
    """Counts that happen to be 0 or 1 everywhere; the number was refused as a rate."""
    counts = [0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0]
    margin = {"margin": 0.5} if direction == "no_increase" else {}
    for stopping in (None, GroupSequential(), AnytimeValid(), Curtailment()):
        hypothesis = claim(direction, against=number, **margin)
        verdict = experiment(counts, [hypothesis])(stopping=stopping).run().hypotheses[0].verdicts["baseline"]
        assert verdict.status == "supported"
        assert verdict.reading == ""
        assert verdict.test.endswith(" t")
    with pytest.raises(DefinitionError, match="a rate is compared with a number from 0 to 1"):
        claim(direction, against=number, kind="binary", **margin)


def test_a_rate_against_a_number_is_tested_exactly():
    """Also with a margin; the smallest p that n replicates can give says if there are enough."""
    hits = [1] * 29 + [0]
    found = judged(claim(against=0.85, alternative="one-sided"), hits)["baseline"]
    assert found.p_value == binomial(hits, rate=0.85, alternative="greater").p_value
    assert (found.test, found.status, found.reading) == ("exact binomial", "supported", "yes/no")
    guard = judged(claim("no_decrease", margin=0.05, against=0.9), hits)["baseline"]
    assert guard.p_value == binomial(hits, rate=0.9, shift=-0.05, alternative="greater").p_value
    few = judged(claim(against=0.85, alternative="one-sided"), [1] * 18)["baseline"]
    assert few.status == "invalid"
    assert "run at least 19 replicates" in few.reason
    open_ = judged(claim(against=0.85, effect=0.1), [1, 1, 1, 1, 1, 1, 1, 1, 1, 0] * 3)["baseline"]
    assert "would show the 0.1 you declared" in open_.reason


@pytest.mark.parametrize(("number", "value"), [(0.95, 1), (0.05, 0)])
def test_a_rate_at_its_end_is_within_a_margin_that_reaches_beyond(number, value):
    """All of 100 are within .1 of .95, as 99 are; no rate is 1.05, so none has to be excluded."""
    guard = claim("equal", margin=0.1, against=number)
    for values in ([value] * 100, [value] * 99 + [1 - value]):
        verdict = judged(guard, values)["baseline"]
        assert verdict.status == "supported"
        assert verdict.interval[0] >= -0.1
        assert verdict.interval[1] <= 0.1
    few = judged(guard, [value] * 10)["baseline"]
    assert few.status == "inconclusive"  # .85 gives all of 10 in .2


def test_units_are_what_is_compared_with_a_number():
    """Crossed with seeds they are tested as such."""
    values = [[1.0 + 0.1 * i + 0.01 * j * i for j in range(4)] for i in range(6)]
    found = judged(claim(against=0.5), values, units=["a", "b", "c", "d"])["baseline"]
    assert (found.test, found.population, found.status) == ("crossed t", "seeds and cases", "supported")


def test_missing_values_are_missing_of_both_sides():
    """The reason names the condition of today."""
    found = judged(claim(against=0.5), [1.0, float("nan"), 1.2, 1.1])["baseline"]
    assert found.reason == "metric 'x' is nan in replicate 1 of 'baseline'"


def test_another_treatment_stands_for_the_baseline():
    """It is not compared with itself; others are paired with it by seed."""
    found = judged(claim(against="old"), moved(9.0), old=other(0.0), new=moved(2.0))
    assert list(found) == ["new"]
    verdict = found["new"]
    assert verdict.p_value == paired_t(other(0.0), moved(2.0)).p_value
    assert (verdict.comparator, verdict.against, verdict.status) == ("treatment", "old", "supported")
    assert verdict.baseline_mean == pytest.approx(0.0)


def test_treatments_name_what_a_claim_is_about():
    """Others are in no family of it, and what it rests on is all that is run for it."""
    hypothesis = claim(treatments=["a"])
    found = judged(hypothesis, other(0.0), a=moved(2.0), b=moved(0.0))
    assert (list(found), found["a"].family) == (["a"], 1)
    plan = AnalysisPlan((hypothesis, claim("differ", treatments="b", against="c")), ("a", "b", "c"), 10)
    assert plan.conditions(hypothesis, "a") == ("baseline", "a", "b", "c")  # the family's
    assert plan.rests_on(*plan.members[1]) == ("c", "b")


def test_all_pairs_are_corrected_together():
    """By the step-down max-t of the differences in each replicate."""
    arms = {"a": other(1.5), "b": moved(1.2), "c": other(0.1)}
    found = judged(claim("differ", pairwise=True), moved(0.0), **arms)
    assert list(found) == ["a-vs-baseline", "b-vs-baseline", "c-vs-baseline", "b-vs-a", "c-vs-a", "c-vs-b"]
    columns = {"baseline": moved(0.0), **arms}
    pairs = [name.split("-vs-") for name in found]
    table = [[columns[s][i] - columns[f][i] for s, f in pairs] for i in range(10)]
    expected = step_down_max_t(table).adjusted
    for verdict, adjusted in zip(found.values(), expected, strict=True):
        assert verdict.adjusted_p == pytest.approx(max(adjusted, verdict.p_value), rel=1e-12)
        assert (verdict.correction, verdict.family, verdict.comparator) == ("max-t", 6, "pair")
        low, high = verdict.interval
        assert (low > 0 or high < 0) == (verdict.status == "supported")
    assert found["b-vs-a"].against == "a"
    assert {"supported", "inconclusive"} == {verdict.status for verdict in found.values()}


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-600, 2.0**600, 2.0**1019])
def test_pairs_of_values_of_any_size_are_stepped_as_others_are(unit):
    """Squares of differences, and differences, that floats do not hold were 0, or ended the verdicts."""
    arms = {"baseline": moved(-8.0), "a": other(-7), "b": moved(8.0)}
    plain = judged(claim("differ", pairwise=True), **arms)
    sized = {name: [value * unit for value in values] for name, values in arms.items()}
    found = judged(claim("differ", pairwise=True), **sized)
    for name, verdict in plain.items():
        assert (found[name].status, found[name].adjusted_p) == (verdict.status, verdict.adjusted_p)
    assert [verdict.status for verdict in plain.values()] == ["inconclusive", "supported", "supported"]


def test_pairs_share_alpha_with_other_claims():
    """Six pairs of seven claims have 6/7 of it, and the seventh has its own."""
    pairs, up = claim("differ", pairwise=True), claim(treatments="a")
    plan = AnalysisPlan((pairs, up), ("a", "b", "c"), 10)
    arms = {"baseline": moved(0.0), "a": other(1.5), "b": moved(1.2), "c": other(0.1)}
    analysis = Analysis(plan, {name: arm(name, values) for name, values in arms.items()})
    alone = judged(pairs, arms["baseline"], a=arms["a"], b=arms["b"], c=arms["c"])
    verdict = analysis.verdict(pairs, "a-vs-baseline")
    assert verdict.adjusted_p == pytest.approx(alone["a-vs-baseline"].adjusted_p * 7 / 6)
    one = analysis.verdict(up, "a")
    assert one.adjusted_p == pytest.approx(7 * one.p_value)


def test_pairs_of_units_or_independent_samples_are_stepped_by_holm():
    """Signs of seeds and cases can't be flipped at once."""
    values = [[0.1 * i + j for j in range(4)] for i in range(6)]
    more = [[v + 1 + 0.01 * i for v in row] for i, row in enumerate(values)]
    found = judged(claim("differ", pairwise=True), values, units=list("abcd"), t=more, u=values)
    assert {verdict.correction for verdict in found.values()} == {"holm"}
    welch = claim("differ", pairwise=True, statistical_test=WelchTTest())
    assert judged(welch, moved(0.0), t=moved(1.0), u=other(0.0))["t-vs-baseline"].correction == "holm"


def test_too_few_replicates_to_flip_are_invalid():
    """Whatever they gave."""
    found = judged(claim("differ", pairwise=True), [0.0, 1.0, 2.0], a=[5.0, 7.0, 9.1], b=[1.0, 1.0, 1.0])
    assert {verdict.status for verdict in found.values()} == {"invalid"}
    assert "run at least 6 replicates" in found["a-vs-baseline"].reason


@pytest.mark.parametrize("stopping", [GroupSequential(), AnytimeValid()])
@pytest.mark.parametrize(
    "options", [{"against": 0.0}, {"against": "t"}, {"direction": "differ", "pairwise": True}]
)
def test_looks_compare_with_the_same(stopping, options):
    """The experiment stops once every claim is decided."""
    hypothesis = claim(**options)
    values = {"t": moved(0.0) * 3, "u": other(8.0) * 3}
    result = experiment(moved(0.1) * 3, [hypothesis], **values)(stopping=stopping).run()
    found = result.get_hypothesis(hypothesis.name).verdicts
    subject = "u-vs-t" if hypothesis.pairwise else "u"
    assert found[subject].status == "supported"
    assert found[subject].look < found[subject].looks


def test_anytime_valid_tests_no_rate_against_a_number():
    """Refused where it is declared, and invalid where it shows."""
    with pytest.raises(DefinitionError, match="compares a rate with a number, for which AnytimeValid"):
        experiment([1] * 5, [claim(against=0.5, kind="binary")])(stopping=AnytimeValid())
    result = experiment([1] * 30, [claim(against=0.5)])(stopping=AnytimeValid()).run()
    assert "tests no rate against a number" in result.hypotheses[0].verdicts["baseline"].reason


def test_verifiers_compare_treatments_too():
    """They are given the samples of both."""

    @verifier
    def larger(baseline, treatment):
        return {"p_value": 0.01, "significant": min(treatment["x"]) > max(baseline["x"])}

    hypothesis = Hypothesis(larger(), "x", against="a")
    found = judged(hypothesis, moved(99.0), a=moved(0.0), b=moved(9.0))
    assert {name: verdict.status for name, verdict in found.items()} == {"b": "supported"}


def test_values_that_no_seed_changes_are_compared_with_a_number():
    """Directly."""
    found = judged(claim(against=3, deterministic=True), [4], t=[3])
    assert [verdict.status for verdict in found.values()] == ["supported", "refuted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": True}, "against is True; give a number, the name of another treatment, or Reference"),
        ({"against": float("nan")}, "against is nan"),
        ({"treatments": []}, r"treatments=\[\]; give the name of a treatment or a list of names"),
        ({"treatments": "baseline"}, "names 'baseline', which they are compared with"),
        ({"treatments": ["a"], "against": "a"}, "names 'a', which they are compared with"),
        ({"pairwise": True}, "pairwise=True goes with a claim of direction='differ'"),
        ({"pairwise": True, "against": "a", "direction": "differ"}, "pairs are of conditions of today"),
        ({"pairwise": True, "direction": "differ", "treatments": ["a"]}, "a pair needs two conditions"),
        ({"against": 1, "pairing": "none"}, "one sample is compared with a number, so nothing is paired"),
        ({"against": 1, "statistical_test": WelchTTest()}, "which the Welch t test does not do"),
        ({"statistical_test": BinomialTest(0.5)}, "looks at one side alone; .* say against=0.5"),
        ({"statistical_test": BinomialTest(0.5), "against": "a"}, "which looks at one side alone"),
        ({"against": 1, "statistical_test": McNemarTest()}, "which the McNemar test does not do"),
        (
            {"against": 1, "direction": "equal", "margin": 0.1, "relative": True},
            "one sample is compared with a number; give margin=",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    """Where it is written."""
    with pytest.raises(DefinitionError, match=message):
        claim(**{"direction": "increase", **options})


def test_a_verifier_takes_no_number():
    """It is given two samples."""
    with pytest.raises(DefinitionError, match=r"against=0.5 and a verifier"):
        Hypothesis(lambda baseline, treatment: {}, "x", against=0.5)


@pytest.mark.parametrize(
    ("hypothesis", "treatments", "message"),
    [
        (claim(against="gone"), {"t": [1.0]}, "about 'gone', and there is no such condition; there are"),
        (claim(treatments=["t", "u"]), {"t": [1.0]}, "is about 'u', and there is no such condition"),
        (claim(against="t"), {"t": [1.0]}, "compares treatments with 't', and there is no other treatment"),
        (
            claim("differ", pairwise=True),
            {"a": [1.0], "a-vs-baseline": [1.0]},
            "names a condition and a pair",
        ),
        (claim(), {}, "has no treatment to claim it of"),
    ],
)
def test_conditions_that_are_not_there_are_refused(hypothesis, treatments, message):
    """Before anything runs."""
    with pytest.raises(DefinitionError, match=message):
        experiment([0.0], [hypothesis], **treatments)().run()


def test_the_baseline_alone_is_enough_for_a_number():
    """There need be no treatment."""
    result = experiment(moved(2.0), [claim(against=0)])().run()
    assert result.metrics["hypothesis"]["accepted"]


def test_one_sample_is_calibrated_where_its_mean_is_the_number():
    """A/A tests move the baseline there; of pairs they take two samples of it."""
    values = [((i * 37) % 101) / 10 for i in range(400)]
    runs = arm("baseline", values)
    for hypothesis in (claim(against=3), claim("differ", pairwise=True), claim(against="other")):
        found = calibrate(hypothesis, runs, 10)
        assert (found.status, found.tests) == ("calibrated", 20)
    assert calibrate(claim(against=0.5), arm("baseline", [0, 1] * 100), 10).status == "invalid"


def test_samples_alone_are_compared_with_the_number():
    """What the baseline gave does not count."""
    verdict = verdict_on(claim(against=0.5), {"x": []}, {"x": moved(2.0)})
    assert verdict.p_value == paired_t([0.5] * 10, moved(2.0)).p_value


def test_what_a_hypothesis_is_against_has_one_spelling():
    """The baseline by name is the baseline."""
    assert claim(against="baseline").against is None
    assert claim(against=Reference("main")).reference == Reference("main")
    assert BinomialTest(0.5).smallest_p(5, 5, "greater") == 1 / 32
