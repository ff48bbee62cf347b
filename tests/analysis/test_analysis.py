"""The family: which p-values are corrected for which others, and what a missing one counts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from recorded import FAILED, arm, experiment

from crystallize import (
    AnytimeValid,
    BrunnerMunzelTest,
    Experiment,
    GroupSequential,
    Hypothesis,
    McNemarTest,
    PairedTTest,
    ResampledTTest,
    StatisticalTest,
    Treatment,
    WelchTTest,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import benjamini_hochberg, holm, paired_t

BASELINE = [0.0] * 8
NOISE = [0.3, -0.9, 1.2, -0.4, 0.8, -1.1, 0.5, -0.4]


def shifted(by):
    return [by + e for e in NOISE]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def always(name="always", **more):
    answer = {"p_value": 0.04, "significant": True, **more}
    return Hypothesis(lambda baseline, treatment: answer, "x", name=name)


def verdicts(hypotheses, *, correction="holm", absent=(), stopping=None, **treatments):
    """Return the verdicts by hypothesis name and treatment."""
    plan = AnalysisPlan(tuple(hypotheses), tuple(treatments), 8, Judging(correction, stopping))
    runs = {name: arm(name, values) for name, values in treatments.items() if name not in absent}
    analysis = Analysis(plan, {"baseline": arm("baseline", BASELINE), **runs})
    return {(h.name, name): analysis.verdict(h, name) for h in hypotheses for name in runs}


def test_holm_over_hypotheses_and_treatments():
    """Every superiority p-value of the experiment is one of the family, as declared."""
    hypotheses = [claim(name="up"), claim("differ", name="other", alternative="two-sided")]
    found = verdicts(hypotheses, a=shifted(0.6), b=shifted(0.8), c=shifted(1.2))
    raw = [v.p_value for v in found.values()]
    assert [v.adjusted_p for v in found.values()] == pytest.approx(holm(raw), rel=1e-12)
    for verdict in found.values():
        assert (verdict.family, verdict.correction) == (6, "holm")
        assert verdict.passed is (verdict.adjusted_p <= 0.05)
    assert {v.status for v in found.values()} == {"supported", "inconclusive"}


def test_an_adjusted_p_that_is_too_large_is_inconclusive_and_says_so():
    """Though the interval excludes 0 and p alone would do."""
    found = verdicts([claim()], a=shifted(0.8), b=shifted(0.1), c=shifted(0.0))
    verdict = found["x_increase", "a"]
    assert verdict.p_value <= 0.05 < verdict.adjusted_p == pytest.approx(3 * verdict.p_value)
    assert verdict.status == "inconclusive"
    assert f"but adjusted p = {verdict.adjusted_p:.3g} is above 0.05" in verdict.reason
    assert verdicts([claim()], correction="none", a=shifted(0.8), b=shifted(0.1))["x_increase", "a"].passed


def test_published_adjustments():
    """Holm .01 .04 .03 .005 gives .03 .06 .06 .02; and Benjamini and Hochberg's by its own rule."""
    p_values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    hypothesis = claim(statistical_test=Told(p_values))
    samples = {name: [float(ord(name))] * 8 for name in p_values}
    found = verdicts([hypothesis], **samples)
    assert [v.adjusted_p for v in found.values()] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = verdicts([hypothesis], correction="bh", **samples)
    assert [v.adjusted_p for v in found.values()] == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert all(v.passed for v in found.values())


class Consuming(StatisticalTest):
    """A test whose samples are lists, which are its own to change."""

    name, paired, scale = "consuming", True, "difference"

    def compare(self, baseline, treatment, **options):
        result = paired_t(baseline, treatment, **options)
        baseline.sort()
        treatment.clear()
        treatment += [0.0] * len(baseline)
        return result


def test_what_a_test_changes_of_its_samples_is_its_own():
    """Other claims about the metric, and the means that are shown, are as without it."""
    found, expected = (
        verdicts([claim(name="first", statistical_test=test), claim(name="plain")], a=shifted(1.2))
        for test in (Consuming(), PairedTTest())
    )
    assert found["first", "a"].status == "supported"
    assert found["plain", "a"] == expected["plain", "a"]


class Told(StatisticalTest):
    """Test whose p-value belongs to the treatment's first value."""

    name, paired, minimum_n = "told", True, 1

    def __init__(self, p_values):
        self.p_values = p_values

    def compare(self, baseline, treatment, *, alpha=0.05, alternative="two-sided", shift=0.0):
        from crystallize.stats import TestResult

        return TestResult(
            test="told",
            p_value=self.p_values[chr(int(treatment[0]))],
            statistic=1.0,
            df=None,
            estimate=1.0,
            interval=(0.5, 1.5),
            confidence=1 - alpha,
            n=len(treatment),
            alternative=alternative,
        )


def test_guards_and_verifiers_are_not_corrected():
    """They neither are adjusted nor count in the family."""
    guard = claim("no_decrease", margin=1.0, name="guard")
    hypotheses = [claim(name="up"), guard, always(), claim(deterministic=True, name="exact")]
    found = verdicts(hypotheses, a=shifted(1.0), b=shifted(0.9))
    for (name, _), verdict in found.items():
        assert verdict.family == (2 if name == "up" else 1)
        assert verdict.correction == ("holm" if name == "up" else "none")
        assert (verdict.adjusted_p is None) is (name != "up")
    assert found["always", "a"].passed
    assert found["guard", "a"].passed


def test_a_single_claim_is_not_corrected():
    """One hypothesis under one treatment, beside guards, has no adjusted p."""
    verdict = verdicts([claim(), claim("no_decrease", margin=1)], a=shifted(1))["x_increase", "a"]
    assert (verdict.adjusted_p, verdict.family, verdict.correction) == (None, 1, "none")


@pytest.mark.parametrize("gap", [math.nan, FAILED], ids=["nan", "failed"])
def test_an_invalid_member_counts_as_1(gap):
    """It makes nobody else invalid, and makes nobody else's p smaller; nor does a treatment that is off."""
    broken = [*shifted(0.7)[:7], gap]
    found = verdicts([claim()], a=shifted(1.2), b=broken, c=shifted(0.7))
    assert found["x_increase", "b"].status == "invalid"
    raw = [found["x_increase", "a"].p_value, 1.0, found["x_increase", "c"].p_value]
    expected = holm(raw)
    assert found["x_increase", "a"].adjusted_p == pytest.approx(expected[0])
    assert found["x_increase", "c"].adjusted_p == pytest.approx(expected[2])
    off = verdicts([claim()], absent=["b"], a=shifted(1.2), b=broken, c=shifted(0.7))
    assert off["x_increase", "a"].adjusted_p == found["x_increase", "a"].adjusted_p
    assert off["x_increase", "a"].family == 3


def test_the_smallest_p_is_compared_with_alpha_over_the_family():
    """Six sign flips reach .05 alone, and no longer with two claims; the reason says how many do."""
    from crystallize import PermutationTest

    hypothesis = claim(statistical_test=PermutationTest())
    plan = AnalysisPlan((hypothesis,), ("a", "b"), 6)
    runs = {n: arm(n, [0.0] * 6 if n == "baseline" else [1.0, 2, 3, 4, 5, 6]) for n in ("baseline", "a", "b")}
    verdict = Analysis(plan, runs).verdict(hypothesis, "a")
    assert verdict.status == "invalid"
    assert "can't reach alpha = 0.05 / 2 claims; run at least 7 replicates" in verdict.reason
    alone = Analysis(AnalysisPlan((hypothesis,), ("a",), 6), runs).verdict(hypothesis, "a")
    assert alone.passed


p_values = st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.025, 0.05, 1.0])


@examples(100)
@given(st.lists(p_values, min_size=1, max_size=6), st.sampled_from(["holm", "bh"]), st.floats(0.001, 0.4))
def test_a_correction_supports_nothing_that_is_not_supported_without(values, correction, alpha):
    """An adjusted p is never below its p, keeps the order, and only takes support away."""
    names = "abcdef"[: len(values)]
    hypothesis = claim(statistical_test=Told(dict(zip(names, values, strict=True))), alpha=alpha)
    samples = {name: [float(ord(name))] * 8 for name in names}
    plain = verdicts([hypothesis], correction="none", **samples)
    found = verdicts([hypothesis], correction=correction, **samples)
    adjust = holm if correction == "holm" else benjamini_hochberg
    expected = adjust(values)
    for (key, verdict), want in zip(found.items(), expected, strict=True):
        adjusted = verdict.p_value if verdict.adjusted_p is None else verdict.adjusted_p
        assert adjusted == pytest.approx(want)
        assert verdict.p_value <= adjusted <= 1
        assert plain[key].passed or not verdict.passed
    pairs = [(v.p_value, v.p_value if v.adjusted_p is None else v.adjusted_p) for v in found.values()]
    for p, adjusted in pairs:
        assert all(other >= adjusted for q, other in pairs if q > p)


def test_the_experiment_corrects():
    """Through `run`; `correction="none"` says otherwise; results and text show what was done."""
    make = experiment(BASELINE, [claim()], a=shifted(0.8), b=shifted(0.1), c=shifted(0.0))
    result = make().run()
    verdict = result.get_hypothesis("x_increase").verdicts["a"]
    assert (verdict.status, verdict.family) == ("inconclusive", 3)
    assert f"(adjusted p = {verdict.adjusted_p:.3g})" in str(result)
    summary = result.get_hypothesis("x_increase").results["a"]
    assert summary["adjusted_p"] == verdict.adjusted_p
    assert (summary["accepted"], summary["significant"], summary["verdict"]) == (False, False, "inconclusive")
    plain = make(correction="none").run().get_hypothesis("x_increase")
    assert plain.verdicts["a"].passed
    assert "adjusted_p" not in plain.results["a"]


def test_the_builder_takes_what_the_experiment_takes():
    """Correction, stopping, resampled."""
    built = (
        Experiment.builder("e")
        .datasource(0)
        .add_step(make_step())
        .correction("bh")
        .resampled(0.25)
        .replicates(4)
        .build()
    )
    assert built.judging == Judging("bh", None, 0.25)
    stopped = Experiment.builder("e").datasource(0).add_step(make_step()).stopping(GroupSequential(3)).build()
    assert stopped.judging.stopping == GroupSequential(looks=3)


def make_step():
    from crystallize import pipeline_step

    @pipeline_step()
    def step(data, ctx):
        return data, {"x": 0.0}

    return step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "bonferroni"}, "correction is 'bonferroni'; allowed are 'holm', 'bh', 'none'"),
        ({"correction": None}, "correction is None"),
        (
            {"stopping": GroupSequential},
            r"give GroupSequential\(\), AnytimeValid\(\) or Curtailment\(\); call it",
        ),
        ({"stopping": "obrien-fleming"}, "stopping is 'obrien-fleming'"),
        (
            {"stopping": GroupSequential(), "correction": "bh"},
            "looks need the level of each claim beforehand",
        ),
        *(({"resampled": part}, "resampled is .*between 0 and 1") for part in (0, 1, -0.2, True, "20 %", 2)),
        ({"resampled": 0.2, "stopping": AnytimeValid()}, "there is no such test of resplits"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options, message):
    """When the experiment is written, with the reason."""
    with pytest.raises(DefinitionError, match=message):
        experiment(BASELINE, [claim()], a=BASELINE)(**options)


@pytest.mark.parametrize(
    ("options", "hypothesis", "message"),
    [
        ({"resampled": 0.2}, claim(statistical_test=PairedTTest()), "resplits .* overlap"),
        ({"resampled": 0.2}, claim(statistical_test=WelchTTest()), "resplits .* overlap"),
        ({"resampled": 0.2}, claim(kind="binary"), "kind='binary'"),
        ({"resampled": 0.2}, claim(pairing="none"), "pairing='none'"),
        (
            {"stopping": AnytimeValid()},
            claim(statistical_test=WelchTTest()),
            "the default tests of pairs only",
        ),
        (
            {"stopping": AnytimeValid()},
            claim(statistical_test=McNemarTest(exact=True)),
            "default tests of pairs",
        ),
        ({"stopping": AnytimeValid()}, claim(pairing="none"), "default tests of pairs"),
        ({"stopping": AnytimeValid()}, claim(alternative="one-sided"), "tests both sides"),
        ({"stopping": AnytimeValid()}, claim("equal", margin=0.1, relative=True), "give an absolute one"),
    ],
)
def test_a_claim_that_the_plan_can_not_judge_is_refused(options, hypothesis, message):
    """Whether the experiment is made with it or is given it later; the error names both."""
    make = experiment(BASELINE, [hypothesis], a=BASELINE)
    with pytest.raises(
        DefinitionError, match=rf"experiment 'given': hypothesis '{hypothesis.name}' .*{message}"
    ):
        make(**options)
    later = experiment(BASELINE, [], a=BASELINE)(**options)
    with pytest.raises(DefinitionError, match=message):
        later.hypotheses = [hypothesis]
    with pytest.raises(DefinitionError, match=message):
        later.run(hypotheses=[hypothesis])


@pytest.mark.parametrize(
    ("options", "hypothesis"),
    [
        ({"resampled": 0.2}, claim(statistical_test=ResampledTTest(test_fraction=0.3))),
        ({"resampled": 0.2}, claim(deterministic=True)),
        ({"resampled": 0.2}, claim(statistical_test=Told({}))),
        ({"stopping": AnytimeValid()}, claim(statistical_test=PairedTTest())),
        ({"stopping": AnytimeValid()}, claim(statistical_test=McNemarTest())),
        ({"stopping": AnytimeValid()}, claim("no_decrease", margin=1)),
        ({"stopping": GroupSequential()}, claim(statistical_test=BrunnerMunzelTest())),
    ],
)
def test_a_claim_that_the_plan_can_judge_is_taken(options, hypothesis):
    """The refusals above are no wider than they need to be."""
    assert experiment(BASELINE, [hypothesis], a=BASELINE)(**options).hypotheses == (hypothesis,)


def test_resplits_get_the_corrected_test_and_say_what_they_speak_of():
    """Their interval is wider than that of the paired t test, by the held-out part."""
    make = experiment(BASELINE, [claim()], a=shifted(1.0))
    plain, resampled = (make(**o).run() for o in ({}, {"resampled": 0.2}))
    one, other = (r.get_hypothesis("x_increase").verdicts["a"] for r in (plain, resampled))
    assert (one.test, one.population) == ("paired t", "seeds of this data set")
    assert (other.test, other.population) == ("resampled t", "resampled splits of one data set")
    width = [v.interval[1] - v.interval[0] for v in (one, other)]
    assert width[1] / width[0] == pytest.approx(math.sqrt((1 / 8 + 0.25) * 8))


def test_what_a_verifier_returns_is_shown():
    """Numbers of its own, numpy's among them, in results; `accepted` decides over `significant`."""
    import numpy as np

    hypothesis = always(
        statistic=np.float64(2.5), df=np.int64(3), accepted=np.bool_(False), effect=np.float32(0.5)
    )
    result = experiment(BASELINE, [hypothesis], a=shifted(1.0))().run().get_hypothesis("always").results["a"]
    assert (result["statistic"], result["df"], result["effect"]) == (2.5, 3, 0.5)
    assert {type(result[key]) for key in ("statistic", "effect")} == {float}
    assert result["accepted"] is False
    assert result["verdict"] == "inconclusive"


def test_runs_with_other_treatments_are_another_family():
    """The family is that of the run's own treatments and hypotheses."""
    made = experiment(BASELINE, [claim()], a=shifted(0.8), b=shifted(0.1))()
    alone = made.run(treatments=[Treatment("a", {"arm": "a"})]).get_hypothesis("x_increase").verdicts["a"]
    assert (alone.family, alone.adjusted_p, alone.status) == (1, None, "supported")
    assert made.run().get_hypothesis("x_increase").verdicts["a"].family == 2
