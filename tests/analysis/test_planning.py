"""How many replicates a claim needs, by a pilot."""

import random
from dataclasses import replace

import numpy as np
import pytest
from recorded import arm
from scipy.stats import multinomial

from crystallize import (
    BasePlugin,
    Experiment,
    GroupSequential,
    Hypothesis,
    LogRatioTest,
    Reference,
    Treatment,
    pipeline_step,
)
from crystallize.analysis.family import AnalysisPlan
from crystallize.analysis.planning import Planner
from crystallize.claims.policy import Judging
from crystallize.errors import DefinitionError
from crystallize.stats.binomial import binomial_p_value
from crystallize.stats.power import (
    PairedT,
    UnpairedBinary,
    power,
    replicates,
    upper_rate_limit,
    upper_sd_factor,
)
from crystallize.stats.risk_difference import miettinen_nurminen_p_value
from crystallize.stats.tango import tango_p_value


def noise(seed, n=20, sd=1.0, mean=0.0):
    draw = random.Random(seed)
    return [draw.gauss(mean, sd) for _ in range(n)]


BEFORE = noise(1, mean=10.0)
AFTER = [b + e for b, e in zip(BEFORE, noise(2, sd=0.3), strict=True)]


def claim(direction="increase", **options):
    return Hypothesis(metric="x", direction=direction, **options)


def planned(
    hypothesis, before=BEFORE, after=AFTER, *, planned=30, effect=None, target=0.8, units=None, **judging
):
    plan = AnalysisPlan((hypothesis,), ("t",), planned, Judging(**judging))
    runs = {"baseline": arm("baseline", before, units=units), "t": arm("t", after, units=units)}
    subject = plan.subjects(hypothesis)[0]
    return Planner(plan, runs, effect=effect, target=target).claim(hypothesis, subject)


def sd_of(differences):
    mean = sum(differences) / len(differences)
    return (sum((d - mean) ** 2 for d in differences) / (len(differences) - 1)) ** 0.5


SD = sd_of([a - b for b, a in zip(BEFORE, AFTER, strict=True)]) * upper_sd_factor(19)


def test_replicates_for_the_declared_effect():
    """By the upper limit of the pilot's spread; what it shows of the difference plays no part."""
    found = planned(claim(effect=0.2))
    assert found.needed == replicates(PairedT(SD), 0.2)
    assert (found.size, found.pilot, found.planned, found.test) == (0.2, 20, 30, "paired t")
    shifted = planned(claim(effect=0.2), after=[a + 5 for a in AFTER])
    assert shifted.needed == found.needed
    assert planned(claim(), effect=0.2).needed == found.needed
    assert planned(claim(effect=0.2), target=0.95).needed == replicates(PairedT(SD), 0.2, target=0.95)
    assert dict(found.curve)[found.curve[0][0]] < 0.8 < found.curve[-1][1]
    n, chance = found.curve[5]
    assert chance == pytest.approx(power(PairedT(SD), n, 0.2), rel=1e-9)


def test_what_pairs_and_looks_save():
    """Without pairs it takes what both conditions vary by; looks stop before the end, on average."""
    found = planned(claim(effect=0.2))
    assert found.unpaired > 5 * found.needed
    assert 0.7 < found.sequential < 0.9
    looked = planned(claim(effect=0.2), stopping=GroupSequential())
    assert found.needed <= looked.needed <= found.needed + 3


def test_without_an_effect_there_is_what_can_be_seen():
    """By the number of replicates."""
    found = planned(claim())
    assert "declare effect=" in found.reason
    assert found.needed is None
    sizes = dict(found.detectable)
    assert sizes[10] > sizes[30] > sizes[500]
    assert power(PairedT(SD), 30, sizes[30]) == pytest.approx(0.8, abs=1e-6)


def test_guards_are_planned_for_no_difference():
    """The margin that so many show; how probably unchanged code passes with those that are planned."""
    guard = planned(claim("no_decrease", margin=0.2))
    assert guard.needed == replicates(PairedT(SD), 0.2, alternative="greater")
    assert guard.unchanged == pytest.approx(power(PairedT(SD), 30, 0.2, alternative="greater"))
    both = planned(claim("equal", margin=0.2))
    assert both.needed > guard.needed
    alarm = planned(claim("no_decrease", detects=0.2), planned=guard.needed)
    assert alarm.needed == guard.needed  # that a loss of that size is shown
    assert alarm.unchanged == pytest.approx(0.95, abs=0.02)


def test_sizes_in_percent():
    """Of the baseline's mean, or by ratio."""
    part = planned(claim(effect=0.02, relative=True))
    mean = sum(BEFORE) / len(BEFORE)
    assert part.needed == replicates(PairedT(SD), 0.02 * mean)
    ratio = planned(claim(effect=0.02, relative=True, statistical_test=LogRatioTest()))
    assert ratio.relative
    assert abs(ratio.needed - part.needed) < 0.5 * part.needed
    least = planned(claim(at_least=0.1, effect=0.3))
    assert least.needed == replicates(PairedT(SD), 0.3 - 0.1)


def test_rates_and_numbers():
    """McNemar's test by the pairs that differ; one sample by the number."""
    before, after = [1, 0] * 10, [1, 1, 0, 0] * 5
    found = planned(claim(effect=0.2), before, after)
    assert found.test.startswith("McNemar")
    assert found.needed > 20
    bar = planned(claim(against=0.5, effect=0.3), before, after)
    assert (bar.test, bar.treatment) == ("exact binomial", "baseline")
    assert bar.needed > 10


@pytest.mark.parametrize("direction", ["no_decrease", "no_increase", "equal"])
@pytest.mark.parametrize(("differ", "margin"), [(2, 0.1), (4, 0.1), (4, 0.2), (12, 0.2)])
def test_a_margin_of_rates_is_shown_by_as_many_pairs_as_planned(direction, differ, margin):
    """Where as many pairs gain as lose; it was .48 of .8, where the margin was about what differs."""
    before = [1, 0] * 20
    after = [1 - b if i < differ else b for i, b in enumerate(before)]
    n = planned(claim(direction, margin=margin), before, after).needed
    share = upper_rate_limit(differ, 40)
    tables = np.array([(gains, k - gains) for k in range(n + 1) for gains in range(k + 1)])
    chances = [share / 2, share / 2, 1 - share]
    probable = multinomial.pmf(np.hstack([tables, n - tables.sum(axis=1, keepdims=True)]), n, chances)
    likely = tables[probable > 1e-9].tolist()
    shown = []
    for null, side in ((-margin, "greater"), (margin, "less")):
        if direction in ("equal", {-margin: "no_decrease", margin: "no_increase"}[null]):
            shown.append([tango_p_value(*pair, n, null, side) <= 0.05 for pair in likely])
    chance = probable[probable > 1e-9][np.all(shown, axis=0)].sum()
    assert 0.8 <= chance < 0.87


@pytest.mark.parametrize("direction", ["no_decrease", "no_increase", "equal"])
@pytest.mark.parametrize("options", [{"pairing": "none"}, {"against": 0.95}])
@pytest.mark.parametrize("rate", ["near 1", "near 0"])
def test_a_margin_may_be_larger_than_what_a_rate_is_from_its_end(direction, options, rate):
    """Nothing has to change by it: a rate of .95 that falls by less than .1 can be shown."""
    values = [0, *[1] * 19] * 2
    if rate == "near 0":
        values = [1 - value for value in values]
        options = {key: 0.05 if key == "against" else value for key, value in options.items()}
    found = planned(claim(direction, margin=0.1, kind="binary", **options), values, values, planned=200)
    if "against" in options and direction == ("no_increase" if rate == "near 1" else "no_decrease"):
        assert found.needed == 1  # no rate is 1.05
        return
    assert 20 < found.needed < 220
    assert found.unchanged > 0.75
    sizes = dict(found.detectable)
    assert sizes[500] < sizes[200] < 0.13


@pytest.mark.parametrize("kind", ["pairs", "apart", "number"])
@pytest.mark.parametrize(("direction", "bound", "effect"), [("decrease", 0.2, 0.3), ("increase", 0.02, 0.05)])
def test_more_than_a_bound_of_rates_is_shown_by_as_many_as_planned(kind, direction, bound, effect):
    """Not by as many as show that equal rates move by what lies beyond: power was .25 to .73 for .8."""
    values = [0, 0, *[1] * 98]
    if direction == "increase":
        values = [1 - value for value in values]
    sign, before = (-1, 0.98) if direction == "decrease" else (1, 0.02)
    options = {"pairs": {}, "apart": {"pairing": "none"}, "number": {"against": before}}[kind]
    others = values[::-1] if kind == "apart" else [1 - values[0], *values[1:]]
    hypothesis = claim(direction, at_least=bound, effect=effect, **options)
    found = planned(hypothesis, values, others, planned=100, correction="none")
    n, after = found.needed, before + sign * effect
    draw = np.random.default_rng(1)
    if kind == "apart":
        first, second = draw.binomial(n, before, 2_000), draw.binomial(n, after, 2_000)
        tables = zip(first, [n] * 2_000, second, [n] * 2_000, strict=True)
        p_values = [miettinen_nurminen_p_value(*map(int, t), sign * bound, "two-sided") for t in tables]
    elif kind == "pairs":  # all that differ have changed as claimed
        changed = [(k, 0)[::sign] for k in draw.binomial(n, effect, 2_000).tolist()]
        p_values = [tango_p_value(*pair, n, sign * bound, "two-sided") for pair in changed]
    else:
        ones = draw.binomial(n, after, 2_000).tolist()
        p_values = [binomial_p_value(k, n, before + sign * bound, "two-sided") for k in ones]
    assert 0.77 < np.mean(np.array(p_values) <= 0.05) < 0.86
    sizes = dict(found.detectable)
    assert bound < sizes[500] < sizes[200]


@pytest.mark.parametrize(("direction", "value"), [("no_decrease", 1), ("no_increase", 0)])
def test_an_alarm_of_a_rate_is_planned_by_the_harm_that_it_is_for(direction, value):
    """A rate of .95 can fall by .2, though it can't rise by that."""
    values = [1 - value, *[value] * 19] * 2
    found = planned(claim(direction, detects=0.2, pairing="none"), values, values)
    down = 0.95 if value else 0.05
    effect = -0.2 if value else 0.2
    side = "less" if value else "greater"
    widened = replicates(UnpairedBinary(down), effect, alternative=side)
    assert widened <= found.needed < 2 * widened


def test_the_family_counts():
    """Its share of alpha is what a claim has."""
    plan = AnalysisPlan((claim(effect=0.2),), ("t",), 30, claims=40)
    runs = {"baseline": arm("baseline", BEFORE), "t": arm("t", AFTER)}
    shared = Planner(plan, runs).claim(plan.hypotheses[0], "t")
    assert shared.needed == replicates(PairedT(SD), 0.2, alpha=0.05 / 40)


@pytest.mark.parametrize(
    ("options", "data", "reason"),
    [
        ({"effect": 0.2}, {"before": BEFORE[:9], "after": AFTER[:9]}, "9 hardly tell how much it varies"),
        ({"effect": 0.2}, {"before": [1.0] * 20, "after": [1.0] * 20}, "what is compared does not vary"),
        ({"effect": 0.2}, {"before": [float("nan")] * 20}, "metric 'x' is nan in replicate 0 of 'baseline'"),
        ({"deterministic": True}, {}, "no seed changes its values"),
        ({"effect": 1e-9}, {}, "no number of replicates would do"),
    ],
)
def test_why_there_is_no_number(options, data, reason):
    """Said in place of one."""
    assert reason in planned(claim(**options), **data).reason


def test_verifiers_have_no_known_power():
    """They decide by themselves."""
    found = planned(Hypothesis(lambda baseline, treatment: {}, "x", name="mine"))
    assert "a verifier decides by itself" in found.reason


def test_a_reference_that_is_not_there_is_planned_by_the_pilot():
    """Unpaired: how a change of the code will move pairs, nobody knows; the same code gives the same."""
    found = planned(claim("no_decrease", margin=2.0, against=Reference("main")))
    assert found.test == "Welch t"
    assert found.needed > 3
    assert found.unchanged == 1.0


@pytest.mark.parametrize(
    "options", [{"effect": 0.0}, {"effect": float("nan")}, {"target": 1.0}, {"target": 0}]
)
def test_what_makes_no_sense_is_refused(options):
    """Effects are positive, and a power lies between 0 and 1."""
    with pytest.raises(DefinitionError, match="allowed"):
        planned(claim(effect=0.2), **options)


# Of an experiment.


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": 10 + ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}


def made(*hypotheses, **options):
    treatments = [Treatment("t", {"delta": 0.2}), Treatment("u", {"delta": 0.1})]
    return Experiment(0, [measure], treatments=treatments, hypotheses=hypotheses, replicates=30, **options)


def test_an_experiment_is_planned_by_a_pilot_of_other_seeds():
    """As many replicates as the claim that needs the most, and how long they take; nothing is tested."""
    seeds = []

    class Seen(BasePlugin):
        def before_replicate(self, experiment, ctx):
            seeds.append(ctx["seed_used"])

    experiment = made(claim(effect=0.3, treatments=["t"]), claim("no_decrease", margin=0.2), plugins=[Seen()])
    plan = experiment.plan(power=0.9)
    assert [(c.hypothesis, c.treatment) for c in plan.claims] == [
        ("x_increase", "t"),
        ("x_no_decrease", "t"),
        ("x_no_decrease", "u"),
    ]
    assert plan.replicates == max(c.needed for c in plan.claims)
    assert plan.seconds > 0
    assert {c.pilot for c in plan.claims} == {10}
    piloted = set(seeds)
    seeds.clear()
    experiment.run()
    assert len(piloted) == 10
    assert piloted.isdisjoint(seeds)
    text = str(plan)
    assert "x_increase [t]: " in text
    assert "replicates show 0.3 (power 0.9); 30 are declared" in text
    assert "that 0.2 is not reached where there is no difference" in text
    assert f"in all {plan.replicates} replicates of every condition" in text


def test_what_is_not_known_leaves_the_whole_open():
    """A claim without effect has none; with one for all it has."""
    assert made(claim()).plan().replicates is None
    assert made(claim()).plan(effect=0.5).replicates >= 3


def test_what_a_reference_recorded_stands_for_a_pilot(tmp_path):
    """Nothing is run then."""
    path = tmp_path / "main.json"
    made().run().save_reference(path)
    log = []

    @pipeline_step()
    def never(data, ctx):
        log.append(1)
        return data, {"x": 1.0}

    guard = claim("no_decrease", margin=1.0, against=Reference("main", path=path), treatments=["baseline"])
    plan = Experiment(0, [never], hypotheses=[guard], replicates=30).plan()
    assert (plan.claims[0].pilot, log) == (30, [])
    assert plan.claims[0].needed > 3


def test_a_plan_takes_numbers_of_any_type():
    """An effect that was computed by numpy, for one; the numbers are those of plain floats."""
    plain, typed = (made(claim()).plan(effect=kind(0.5), power=kind(0.75)) for kind in (float, np.float32))
    assert [replace(each, seconds=0) for each in plain.claims] == [
        replace(each, seconds=0) for each in typed.claims
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pilot": 9}, "pilot is 9; allowed is an integer >= 10"),
        ({"power": 1.5}, "power is 1.5; allowed is a number between 0 and 1"),
        ({"effect": -1}, "effect is -1; allowed are positive finite numbers"),
        ({"effect": "5%"}, "effect is '5%'; allowed are positive finite numbers"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options, message):
    """Before anything runs."""
    begun = []

    class Seen(BasePlugin):
        def before_replicate(self, experiment, ctx):
            begun.append(ctx.replicate)

    with pytest.raises(DefinitionError, match=message):
        made(claim(), plugins=[Seen()]).plan(**options)
    assert begun == []
    with pytest.raises(DefinitionError, match="claims nothing that could be planned"):
        made().plan()
