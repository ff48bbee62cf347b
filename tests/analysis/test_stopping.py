"""Looks: which replicates are run, what a look decides, and that nothing else decides it."""

import asyncio
import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples
from recorded import FAILED, arm, arms, experiment

from crystallize import (
    AnytimeValid,
    Artifact,
    AsyncExecution,
    Experiment,
    ExperimentGraph,
    GroupSequential,
    Hypothesis,
    ParallelExecution,
    Treatment,
    evaluate,
    pipeline_step,
)
from crystallize.analysis.analysis import Analysis
from crystallize.analysis.family import AnalysisPlan
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats import paired_t

N = 30
WAVES = [math.sin(2.4 * i) for i in range(N)]
BASELINE = [0.0] * N
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)


NOT_FUTILE = GroupSequential(futility=False)


def shifted(by, n=N):
    """Return differences with a mean of about `by` and a standard deviation of about .7."""
    return [by + w for w in WAVES[:n]]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def always():
    return Hypothesis(lambda baseline, treatment: {"p_value": 0.01, "significant": True}, "x", name="always")


def look(baseline, treatment, direction="increase", stopping=None, **options):
    judging = Judging(stopping=GroupSequential() if stopping is None else stopping)
    return evaluate(claim(direction, **options), *arms(baseline, treatment), judging=judging)


def levels(stopping, n, alpha=0.05, alternative="two-sided"):
    return stopping.boundaries(n, alpha, alternative).levels


def test_published_boundaries():
    """O'Brien and Fleming's of three looks, and Pocock's of five, as nominal levels."""
    two_sided = [math.erfc(z / math.sqrt(2)) for z in (3.7103, 2.5114, 1.9930)]
    assert levels(GroupSequential(looks=3), 30) == pytest.approx(two_sided, rel=1e-3)
    pocock = [math.erfc(z / math.sqrt(2)) for z in (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)]
    assert levels(GroupSequential(spending="pocock"), 30) == pytest.approx(pocock, rel=1e-3)


def test_one_sided_levels_are_half_of_those_at_twice_alpha():
    """A guard at alpha = .025 has half of the two-sided levels at .05."""
    stopping = GroupSequential(looks=3)
    for side in ("greater", "less"):
        assert levels(stopping, 30, 0.025, side) == pytest.approx([p / 2 for p in levels(stopping, 30)])


@examples(40)
@given(st.integers(1, 60), st.integers(2, 8), st.sampled_from(["obrien-fleming", "pocock"]))
def test_looks_ascend_to_all_replicates(n, looks, spending):
    """At most three of them below 15 replicates, and their levels together spend no more than alpha."""
    stopping = GroupSequential(looks, spending)
    sizes = stopping.sizes(n)
    assert sizes[-1] == n
    assert all(a < b for a, b in itertools.pairwise(sizes))
    assert len(sizes) == min(looks, n, 3 if n < 15 else looks)
    nominal = levels(stopping, n)
    assert len(nominal) == len(sizes)
    assert max(nominal) <= 0.05 + 1e-9 <= sum(nominal) + 1e-6
    every = AnytimeValid(every=looks).sizes(n)
    assert every[-1] == n
    assert every[:-1] == [*range(looks, n, looks)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupSequential(looks=1), "looks is 1; allowed is an integer >= 2"),
        (lambda: GroupSequential(looks=2.0), "looks is 2.0"),
        (
            lambda: GroupSequential(spending="obf"),
            "spending is 'obf'; allowed are 'obrien-fleming', 'pocock'",
        ),
        (lambda: GroupSequential(futility=1), "futility is 1; allowed are True, False"),
        (lambda: AnytimeValid(g=0), "g is 0; allowed are positive finite numbers"),
        (lambda: AnytimeValid(g=math.inf), "g is inf"),
        (lambda: AnytimeValid(g=True), "g is True"),
        (lambda: AnytimeValid(every=0), "every is 0; allowed is an integer >= 1"),
        (lambda: AnytimeValid(every=True), "every is True"),
    ],
)
def test_nonsense_is_refused(make, message):
    """With the argument, what was given and what is allowed."""
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_claim_is_decided_at_the_first_look_that_can():
    """Its n is that of the look, p is the fixed test's own on these, the interval is at the look's level."""
    treatment = shifted(0.9)
    verdict = look(BASELINE, treatment)
    sizes = GroupSequential().sizes(N)
    nominal = levels(GroupSequential(), N)
    fixed = [paired_t(BASELINE[:n], treatment[:n]).p_value for n in sizes]
    first = next(i for i, (p, level) in enumerate(zip(fixed, nominal, strict=True)) if p <= level)
    assert 0 < first < 4
    assert (verdict.status, verdict.look, verdict.looks, verdict.n) == (
        "supported",
        first + 1,
        5,
        sizes[first],
    )
    assert (verdict.p_value, verdict.level) == pytest.approx((fixed[first], nominal[first]))
    assert verdict.confidence == pytest.approx(1 - nominal[first])
    assert (verdict.planned, verdict.alpha) == (N, 0.05)
    assert verdict.treatment_mean == pytest.approx(sum(treatment[: sizes[first]]) / sizes[first])


def test_what_comes_behind_the_stopping_look_changes_nothing():
    """Neither values, nor failures, nor that it was not run."""
    treatment = shifted(0.9)
    verdict = look(BASELINE, treatment)
    n = verdict.n
    for rest in ([-99.0] * (N - n), [math.nan] * (N - n), [FAILED] * (N - n), [None] * (N - n)):
        assert look(BASELINE, treatment[:n] + rest) == verdict


@pytest.mark.parametrize(
    ("direction", "by", "options", "status", "early"),
    [
        ("increase", 1.5, {}, "supported", True),
        ("increase", -4.0, {"stopping": NOT_FUTILE}, "refuted", True),
        ("decrease", -1.5, {}, "supported", True),
        ("differ", -1.5, {}, "supported", True),
        ("increase", -0.1, {}, "inconclusive", True),  # futile
        ("increase", -40.0, {}, "refuted", True),  # refuted comes before futile
        ("increase", 0.2, {"stopping": NOT_FUTILE}, "inconclusive", False),
        ("no_decrease", 0.0, {"margin": 1.5}, "supported", True),
        ("no_decrease", -4.0, {"margin": 0.5, "stopping": NOT_FUTILE}, "refuted", True),
        ("no_increase", 4.0, {"margin": 0.5, "stopping": NOT_FUTILE}, "refuted", True),
        ("equal", 0.0, {"margin": 1.5}, "supported", True),
        ("equal", 4.0, {"margin": 0.5, "stopping": NOT_FUTILE}, "refuted", True),
    ],
)
def test_every_verdict_may_come_early(direction, by, options, status, early):
    """Supported, refuted by the repeated interval, or hopeless."""
    verdict = look(BASELINE, shifted(by), direction, **options)
    assert verdict.status == status
    assert (verdict.n < N) is early
    if status == "inconclusive":
        assert verdict.reason.startswith("stopped for futility at ") is early


def test_futility_is_not_binding():
    """It stops hopeless claims and moves no level."""
    one, other = (
        Judging(stopping=GroupSequential(futility=futility)).stopping.boundaries(N, 0.05, "two-sided").levels
        for futility in (True, False)
    )
    assert one == other
    treatment = [-0.5] * 6 + [3.0 + w for w in WAVES[6:]]
    treatment[:6] = [w - 0.5 for w in WAVES[:6]]
    assert look(BASELINE, treatment, stopping=GroupSequential(futility=False)).status == "supported"


def test_claims_split_alpha_and_guards_do_not():
    """By Bonferroni over hypotheses and treatments; `correction="none"` splits nothing."""
    guard = claim("no_decrease", margin=0.5, name="guard")
    hypotheses = (claim(name="up"), claim("decrease", name="down"), guard, always())
    runs = {"baseline": arm("baseline", BASELINE), **{n: arm(n, shifted(0.0)) for n in "ab"}}
    for correction, share in (("holm", 4), ("none", 1)):
        judging = Judging(correction, GroupSequential(futility=False))
        analysis = Analysis(AnalysisPlan(hypotheses, ("a", "b"), N, judging), runs)
        up = analysis.verdict(hypotheses[0], "a")
        assert (up.look, up.family) == (5, share)
        assert up.level == pytest.approx(levels(GroupSequential(), N, 0.05 / share)[-1])
        assert up.correction == ("bonferroni" if share > 1 else "none")
        assert up.adjusted_p is None
        found = analysis.verdict(guard, "a")
        assert found.level == pytest.approx(levels(GroupSequential(), N, 0.05, "greater")[found.look - 1])


def test_a_verdict_is_the_same_if_selected_alone():
    """The experiment then stops earlier, and the claim is decided at the same look."""
    hypotheses = (claim(name="up"), claim("no_decrease", margin=0.3, name="guard"))
    plan = AnalysisPlan(hypotheses, ("a", "b"), N, Judging(stopping=GroupSequential()))
    values = {"baseline": BASELINE, "a": shifted(1.5), "b": shifted(0.55)}
    runs = {name: arm(name, v) for name, v in values.items()}
    full = Analysis(plan, runs)
    claims = [(h, t) for h in hypotheses for t in "ab"]
    together = {key: full.verdict(*key) for key in claims}
    assert len({verdict.n for verdict in together.values()}) > 1
    for hypothesis, treatment in claims:
        size, known = plan.sizes[0], ["baseline", treatment]
        while True:  # as many as are asked for, look by look
            gaps = {n: arm(n, values[n][:size] + [None] * (N - size)) for n in known}
            needed = max(Analysis(plan, gaps).replicates_needed([(hypothesis, treatment)], known).values())
            if needed <= size:
                break
            size = needed
        alone = Analysis(plan, {n: arm(n, values[n][:size]) for n in known})
        assert alone.verdict(hypothesis, treatment) == together[hypothesis, treatment]
        assert size == together[hypothesis, treatment].n


@pytest.mark.parametrize("gap", [math.nan, FAILED], ids=["nan", "failed"])
def test_a_failing_replicate_in_the_first_look_is_invalid_and_stops(gap):
    """No further replicate would make evidence of it."""
    treatment = shifted(1.5)
    verdict = look(BASELINE, [*treatment[:2], gap, *treatment[3:]])
    assert (verdict.status, verdict.look) == ("invalid", 1)
    assert "replicate 2" in verdict.reason


def test_a_verifier_speaks_at_the_last_look():
    """It is asked once, of all replicates."""
    asked = []

    def ask(baseline, treatment):
        asked.append(len(treatment["x"]))
        return {"p_value": 0.01, "significant": True}

    hypotheses = [claim(name="up"), Hypothesis(ask, "x", name="asked")]
    result = experiment(BASELINE, hypotheses, t=shifted(1.5))(stopping=GroupSequential()).run()
    assert result.replicates == N
    assert asked == [N]
    assert result.get_hypothesis("asked").verdicts["t"].look == 5
    assert result.get_hypothesis("up").verdicts["t"].n < N


def test_a_deterministic_claim_is_decided_at_the_first_look():
    """No more is needed."""
    made = experiment(BASELINE, [claim(deterministic=True)], t=[1.0] * N)(stopping=GroupSequential())
    assert made.run().replicates == 6


def test_the_e_process_has_its_published_value():
    """Student's sleep data, ten pairs."""
    verdict = look(*SLEEP, "differ", stopping=AnytimeValid(every=10))
    assert verdict.p_value == pytest.approx(0.0392553, rel=1e-4)
    assert verdict.details["statistic"] == pytest.approx(25.47426, rel=1e-4)
    assert (verdict.status, verdict.n, verdict.level) == ("supported", 10, 0.05)


def test_anytime_looks():
    """Every so many replicates; p never rises; a claim with a margin and one of 0/1 values are served."""
    treatment = shifted(1.2)
    found = [
        look(BASELINE[:n], treatment[:n], "differ", stopping=AnytimeValid(every=1)) for n in range(3, 15)
    ]
    p_values = [v.p_value for v in found]
    assert p_values == sorted(p_values, reverse=True)
    first = next(v for v in found if v.status == "supported")
    assert look(BASELINE, treatment, "differ", stopping=AnytimeValid(every=1)).n == first.n
    assert look(BASELINE, shifted(0.1), "equal", margin=2.0, stopping=AnytimeValid()).status == "supported"
    assert look(BASELINE, shifted(-3.0), "no_decrease", margin=1, stopping=AnytimeValid()).status == "refuted"
    binary = look([0] * 12, [1] * 12, stopping=AnytimeValid(every=1))
    assert (binary.status, binary.test, binary.n) == ("supported", "anytime-valid McNemar", 7)
    assert look([1] * 12, [0] * 12, stopping=AnytimeValid()).status == "refuted"
    margin = look([1] * 12, [0] * 12, "no_decrease", margin=0.1, stopping=AnytimeValid())
    assert margin.status == "invalid"
    assert "AnytimeValid() tests no margin of such values" in margin.reason


def test_one_sided_looks_have_levels_below_a_half():
    """It is told before anything is run; with two sides, and without looks, there are such levels."""
    made = experiment(BASELINE, [claim(alternative="one-sided", alpha=0.6)], t=shifted(1.0))
    with pytest.raises(DefinitionError, match=r"'x_increase' is one-sided with alpha=0\.6, and GroupSeq"):
        made(stopping=GroupSequential()).run()
    assert made().run().hypotheses[0].verdicts["t"].status == "supported"
    assert look(BASELINE, shifted(1.0), alpha=0.6).status == "supported"


def test_anytime_looks_need_pairs():
    """Conditions without common seeds are invalid, and the reason says why."""
    runs = arm("baseline", BASELINE), arm("t", shifted(1.0), first_seed=900)
    verdict = evaluate(claim(), *runs, judging=Judging(stopping=AnytimeValid()))
    assert verdict.status == "invalid"
    assert "AnytimeValid() needs pairs" in verdict.reason


def test_later_replicates_are_not_run(tmp_path):
    """Each unit of the looks up to the last one that was needed is run once, and none behind it."""
    log = tmp_path / "log"
    make = experiment(BASELINE, [claim()], log=log, t=shifted(0.9), u=shifted(1.5))
    result = make(stopping=GroupSequential()).run()
    found = result.get_hypothesis("x_increase").verdicts
    assert result.replicates == max(v.n for v in found.values()) < N
    assert result.planned_replicates == N
    needed = {"baseline": result.replicates} | {name: v.n for name, v in found.items()}
    assert sorted(log.read_text().split()) == sorted(f"{c}:{i}" for c, n in needed.items() for i in range(n))
    assert f"{result.replicates} replicates (stopped at {result.replicates} of {N})" in str(result)
    assert len(result.metrics.baseline.metrics["x"]) == result.replicates
    for name, verdict in found.items():
        values = shifted(0.9) if name == "t" else shifted(1.5)
        judging = Judging(stopping=GroupSequential())
        plan = AnalysisPlan((h := claim(),), ("t", "u"), N, judging)
        runs = {"baseline": arm("baseline", BASELINE), name: arm(name, values)}
        direct = Analysis(plan, runs).verdict(h, name)
        assert (direct.n, direct.p_value, direct.status) == (verdict.n, verdict.p_value, verdict.status)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("stopping", [GroupSequential(), AnytimeValid(), AnytimeValid(every=1)], ids=str)
def test_few_replicates_end_all_the_same(n, stopping):
    """With a verdict or a refusal, and never with a pass for lack of evidence."""
    made = experiment([0.5] * n, [claim()], t=shifted(0.0, n))(stopping=stopping)
    if isinstance(stopping, AnytimeValid):
        with pytest.raises(DefinitionError, match=rf"with {n} replicates? AnytimeValid\(\) can't give"):
            made.run()
        return
    result = made.run()
    verdict = result.get_hypothesis("x_increase").verdicts["t"]
    assert verdict.status in (("invalid",) if n < 3 else ("inconclusive", "refuted"))
    assert result.replicates <= n


def test_without_claims_nothing_stops():
    """An experiment without hypotheses runs all its replicates."""
    assert experiment(BASELINE, [], t=BASELINE)(stopping=GroupSequential()).run().replicates == N


@pytest.mark.parametrize(
    "plugin",
    [
        ParallelExecution(max_workers=4),
        ParallelExecution(max_workers=2, executor_type="process"),
        AsyncExecution(max_concurrency=4),
    ],
    ids=["threads", "processes", "async"],
)
def test_every_execution_stops_at_the_same_replicate(plugin):
    """With the same verdict."""
    serial = noisy().run()
    other = noisy(plugin)
    result = asyncio.run(other.arun()) if isinstance(plugin, AsyncExecution) else other.run()
    assert result.replicates == serial.replicates < 40
    for name in ("x_increase", "of_cases_increase"):
        one, two = (r.get_hypothesis(name).verdicts for r in (serial, result))
        assert one == two
    assert {verdict.test for verdict in one.values()} == {"crossed t"}


@pipeline_step()
def draw(data, ctx, *, delta=0.0):
    """Record a normal number, and one of each case."""
    for case in "abcd":
        ctx.metrics.add("of_cases", ctx.rng.normal() + 3 * delta, unit=case)
    return data, {"x": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}


def noisy(*plugins):
    return Experiment(
        0,
        [draw],
        list(plugins),
        treatments=[Treatment("t", {"delta": 0.8}), Treatment("u", {"delta": 0.4})],
        hypotheses=[claim(), Hypothesis(metric="of_cases", direction="increase")],
        replicates=40,
        stopping=GroupSequential(),
    )


def test_an_experiment_that_others_read_is_run_to_its_end(tmp_path, monkeypatch):
    """Its verdict is that of the look; the one that nothing reads stops."""
    monkeypatch.chdir(tmp_path)

    @pipeline_step()
    def write(data, ctx, *, delta=0.0):
        value = ctx.rng.normal() + 2 * delta
        ctx.artifacts.add("value.txt", str(value).encode())
        return data, {"x": value}

    @pipeline_step()
    def read(data, ctx):
        return data, {"x": data}

    treatment = Treatment("t", {"delta": 1.0})
    out = Artifact("value.txt", loader=float)
    first = Experiment(
        0,
        [write],
        name="first",
        outputs=[out],
        hypotheses=[claim()],
        replicates=20,
        stopping=GroupSequential(),
    )
    second = Experiment(
        out, [read], name="second", hypotheses=[claim()], replicates=20, stopping=GroupSequential()
    )
    results = ExperimentGraph(first, second, treatments=[treatment]).run()
    one, two = (results[name].get_hypothesis("x_increase").verdicts["t"] for name in ("first", "second"))
    assert (results["first"].replicates, results["second"].replicates < 20) == (20, True)
    assert (one.n, one.p_value) == (two.n, pytest.approx(two.p_value))
    assert one.n == results["second"].replicates


def test_a_futile_look_says_what_stopped_it():
    """And what to do about it; an interval of a very small level is not called one of 100 %."""
    reason = look(BASELINE, shifted(-0.2), alpha=0.001).reason
    assert re.match(
        r"stopped for futility at 12 of 30 replicates, which would hardly show the effect", reason
    )
    assert "difference -" in reason
    assert "more than 99.99 % interval [" in reason
    assert reason.endswith("futility=False runs them all")
