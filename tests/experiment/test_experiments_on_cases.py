"""Experiments on cases, in the library."""

import re

import pytest

from crystallize import (
    AsyncExecution,
    Cases,
    Experiment,
    ExperimentGraph,
    GridSearch,
    GroupSequential,
    Hypothesis,
    Objective,
    ParallelExecution,
    PassAll,
    PassAt,
    Reference,
    WelchTTest,
    pipeline_step,
)
from crystallize.errors import DefinitionError
from crystallize.stats import paired_t

ROWS = [{"id": f"q{i}", "topic": ["even", "odd"][i % 2], "level": i / 10} for i in range(20)]
UP = Hypothesis(metric="score", direction="increase", name="up")


@pipeline_step()
def scored(data, ctx, *, gain=0.0):
    """Score a case, with noise of its own."""
    noise = ctx.rng.normal()
    return data, {"score": data["level"] + noise + gain * ctx.rng.uniform(), "correct": int(noise + gain > 0)}


def fetched(ctx):
    """Return the case of a run."""
    return ctx["case"]


def experiment(rows=ROWS, **parts):
    """Return an experiment on rows."""
    declared = {"samples": 3, "treatments": {"v2": {"gain": 1.0}}, "hypotheses": [UP]}
    return Experiment(fetched, [scored], cases=Cases(rows), **{**declared, **parts})


def by_case(result, condition, metric):
    """Return case -> values of its samples."""
    found = {}
    for record in result.records:
        if record.condition == condition:
            for entry in record.metrics:
                if entry.name == metric:
                    found.setdefault(entry.unit, []).append(entry.value)
    return found


def test_the_default_test_is_over_case_means():
    """Samples of one case are no independent evidence; the verdict speaks of cases."""
    result = experiment().run()
    arms = [by_case(result, name, "score") for name in ("baseline", "v2")]
    assert list(arms[0]) == list(arms[1])
    assert {len(values) for values in arms[0].values()} == {3}
    means = [[sum(values) / 3 for values in arm.values()] for arm in arms]
    verdict = result.get_hypothesis("up").verdicts["v2"]
    assert verdict.p_value == pytest.approx(paired_t(*means).p_value, rel=1e-12)
    assert (verdict.n, verdict.planned, verdict.population) == (20, 20, "cases")
    assert verdict.passed


@pytest.mark.parametrize("test", [WelchTTest(), "auto"])
def test_no_test_takes_samples_for_cases(test):
    """Tests that are named are over case means, too, and one sample of yes/no is read as such."""
    claim = Hypothesis(metric="correct", direction="increase", statistical_test=test, name="up")
    assert experiment(hypotheses=[claim]).run().get_hypothesis("up").verdicts["v2"].n == 20
    one = experiment(hypotheses=[claim], samples=1).run().get_hypothesis("up").verdicts["v2"]
    assert (one.n, one.test) == (20, "McNemar mid-p" if test == "auto" else "Welch t")
    assert one.population == "cases"


def test_verifiers_are_given_case_means():
    """A verifier of one's own does not see more evidence than there is."""
    seen = []

    def verifier(baseline, treatment):
        seen.append((len(baseline["score"]), len(treatment["score"])))
        return {"p_value": 0.01, "significant": True}

    experiment(hypotheses=[Hypothesis(verifier, "score")]).run()
    assert set(seen) == {(20, 20)}


@pytest.mark.parametrize("execution", [ParallelExecution(max_workers=2), AsyncExecution()])
def test_the_same_whoever_runs_it_and_in_whatever_order_rows_come(execution):
    """Neither threads nor the order of the rows change a digest."""
    known = experiment().run().digest
    assert experiment(plugins=[execution]).run().digest == known
    assert experiment(ROWS[::-1]).run().digest == known


def test_rows_that_come_and_go_change_no_other_case():
    """What each case gives is its own, whatever stands beside it."""
    known = by_case(experiment().run(), "v2", "score")
    other = by_case(experiment([*ROWS[3:], {"id": "new", "level": 0}], samples=4).run(), "v2", "score")
    assert "new" in other
    assert all(known[name] == other[name][:3] for name in known.keys() & other.keys())
    assert known.keys() - other.keys() == {"q0", "q1", "q2"}


def test_looks_take_whole_cases():
    """Between looks lie cases with all their samples."""
    result = experiment(stopping=GroupSequential(), treatments={"v2": {"gain": 9.0}}).run()
    verdict = result.get_hypothesis("up").verdicts["v2"]
    assert verdict.passed
    assert result.replicates == 3 * verdict.n < 60
    assert result.planned_replicates == 60


def test_a_replicate_is_one_sample_of_its_case():
    """Its number is stable where cases are inserted, and the context has a copy of the case."""
    seen = []

    @pipeline_step()
    def looks(data, ctx):
        ctx["case"]["topic"] = "changed"
        seen.append((ctx["case"]["topic"], ctx.replicate, ctx["case"]["id"]))
        return data, {"score": 1}

    Experiment(0, [looks], cases=Cases(ROWS[:2]), samples=2).run()
    assert sorted(seen) == [("even", 0, "q0"), ("even", 1, "q0"), ("odd", 0, "q1"), ("odd", 1, "q1")]


def test_no_case_is_read():
    """Runs that never look at their case show nothing of cases."""
    result = Experiment(0, [scored_blindly], cases=Cases(ROWS), treatments={"v2": {"gain": 9}}, hypotheses=UP)
    verdict = result.run().get_hypothesis("up").verdicts["v2"]
    assert verdict.status == "invalid"
    assert "no run read 'case'" in verdict.reason


@pipeline_step()
def scored_blindly(data, ctx, *, gain=0.0):
    """Score without a case."""
    return data, {"score": ctx.rng.normal() + gain}


def test_pass_at_k_and_all_k():
    """Each case is estimated by its samples; more samples than there are is an error of the declaration."""
    claims = [Hypothesis(metric=PassAt(2), direction="increase", name="at"),
              Hypothesis(metric=PassAll(2, "correct"), direction="increase", name="all")]  # fmt: skip
    result = experiment(hypotheses=claims).run()
    passed = [sum(values) for values in by_case(result, "baseline", "correct").values()]
    at, both = (result.get_hypothesis(name).verdicts["v2"] for name in ("at", "all"))
    assert at.baseline_mean == pytest.approx(sum({0: 0, 1: 2 / 3, 2: 1, 3: 1}[c] for c in passed) / 20)
    assert both.baseline_mean == pytest.approx(sum({0: 0, 1: 0, 2: 1 / 3, 3: 1}[c] for c in passed) / 20)
    assert (at.metric, both.metric) == ("correct pass@2", "correct pass^2")
    numbers = Hypothesis(metric=PassAt(2, "score"), direction="increase", name="at")
    verdict = experiment(hypotheses=[numbers]).run().get_hypothesis("at").verdicts["v2"]
    assert verdict.status == "invalid"
    assert "takes 0 or 1, and 'score' is " in verdict.reason
    against = Hypothesis(metric=PassAt(2), direction="increase", against=0.1, name="at")
    above = experiment(hypotheses=[against]).run().get_hypothesis("at").verdicts["v2"]
    assert (above.status, above.baseline_mean) == ("supported", 0.1)
    assert above.treatment_mean == pytest.approx(at.treatment_mean)
    with pytest.raises(DefinitionError, match="there are 3 samples of each case; give samples=4"):
        experiment(hypotheses=[Hypothesis(metric=PassAt(4), direction="increase")]).run()


def test_slices_are_claims_of_their_own():
    """Each is decided on its cases, and corrected with the others."""
    sliced = Hypothesis(metric="score", direction="increase", slices=True, name="each")
    result = experiment(hypotheses=[sliced], slices="topic").run()
    verdicts = result.get_hypothesis("each").verdicts
    assert list(verdicts) == ["v2 in even", "v2 in odd"]
    assert {(v.n, v.planned, v.family, v.correction) for v in verdicts.values()} == {(10, 10, 2, "holm")}
    even = [ROWS[i] for i in range(0, 20, 2)]
    alone = experiment(even, correction="none").run().get_hypothesis("up").verdicts["v2"]
    assert verdicts["v2 in even"].p_value == alone.p_value


def failing(ctx):
    """Fail on some cases in one of their samples."""
    if ctx["case"]["id"] in ("q3", "q7") and ctx.replicate == 1 and ctx.condition == "v2":
        raise ValueError("refused")
    return ctx["case"]


def test_failures_count_in_cases():
    """A case that fails voids the verdict, unless it was said what it counts as; it is named."""

    def verdict(**claimed):
        claim = Hypothesis(metric="correct", name="h", **claimed)
        declared = Experiment(
            failing,
            [scored],
            cases=Cases(ROWS),
            samples=3,
            treatments={"v2": {"gain": 5.0}},
            hypotheses=claim,
        )
        return declared.run().get_hypothesis("h").verdicts["v2"]

    failures = Experiment(
        failing, [scored], cases=Cases(ROWS), samples=3, treatments={"v2": {"gain": 5.0}}
    ).run()
    assert {str(error).partition(",")[0] for error in failures.errors} == {"case 'q3'", "case 'q7'"}
    few = experiment(ROWS[:2], samples=1).run().get_hypothesis("up").verdicts["v2"]
    assert "at least 3 cases, not 2" in few.reason
    plain = verdict(direction="increase")
    assert plain.status == "invalid"
    assert "2 of 20 cases of 'v2' are missing: case 'q" in plain.reason
    assert "nan_policy=" in plain.reason
    few = verdict(direction="increase", nan_policy="omit", max_missing=1)
    assert "2 of 20 cases lack a finite value" in few.reason
    omitted = verdict(direction="increase", nan_policy="omit", max_missing=0.1)
    assert (omitted.status, omitted.n, omitted.omitted) == ("supported", 18, 2)
    worst = verdict(direction="no_decrease", margin=0.1, nan_policy="worst")
    assert (worst.status, worst.n, worst.omitted) == ("supported", 20, 2)


@pytest.mark.parametrize("pairing", ["auto", "intersect", "none"])
def test_a_reference_from_before_there_were_cases_is_invalid(tmp_path, pairing):
    """Its replicates are of no case of today; the other verdicts are given."""
    file = tmp_path / "main.json"

    @pipeline_step()
    def without(data, ctx):
        return data, {"score": ctx.rng.normal()}

    Experiment(0, [without], replicates=12).run().save_reference(file)
    old = Hypothesis(
        metric="score", direction="no_decrease", margin=1.0, pairing=pairing, name="h",
        against=Reference("main", path=file),
    )  # fmt: skip
    result = experiment(hypotheses=[old, UP]).run()
    verdict = result.get_hypothesis("h").verdicts["baseline"]
    assert verdict.status == "invalid"
    assert "says of no case what it gave" in verdict.reason
    assert result.get_hypothesis("up").verdicts["v2"].status == "supported"


def test_references_pair_by_id(tmp_path):
    """Cases pair with themselves, whatever order, number of samples or root seed they have today."""
    file = tmp_path / "main.json"
    experiment().run().save_reference(file)
    claim = Hypothesis(
        metric="score", direction="no_decrease", margin=1.0, against=Reference("main", path=file), name="h"
    )
    claims = {"hypotheses": [claim], "treatments": {}}

    def verdict(rows, **parts):
        return experiment(rows, **{**claims, **parts}).run().get_hypothesis("h").verdicts["baseline"]

    same = verdict(ROWS[::-1])
    assert (same.status, same.difference, same.n) == ("supported", 0.0, 20)
    more = verdict(ROWS, samples=5)
    assert (more.n, more.population) == (20, "cases")
    assert abs(more.difference) > 0
    assert "'q0' and not" not in more.reason
    gone = verdict([*ROWS[1:], {"id": "new", "level": 0.1}])
    assert gone.status == "invalid"
    assert "case 'q0' is in" in gone.reason
    assert "case 'new' is in" in gone.reason
    claims["hypotheses"] = [
        Hypothesis(
            metric="score", direction="no_decrease", margin=1.0, pairing="intersect", name="h",
            against=Reference("main", path=file),
        )
    ]  # fmt: skip
    shared = verdict([*ROWS[1:], {"id": "new", "level": 0.1}])
    assert (shared.status, shared.difference, shared.n) == ("supported", 0.0, 19)
    sliced = Hypothesis(
        metric="score", direction="no_decrease", margin=1.0, slices=True, name="h",
        against=Reference("main", path=file),
    )  # fmt: skip
    found = (
        experiment(**{**claims, "hypotheses": [sliced]}, slices="topic").run().get_hypothesis("h").verdicts
    )
    assert {name: (v.status, v.n) for name, v in found.items()} == {
        "baseline in even": ("supported", 10),
        "baseline in odd": ("supported", 10),
        "v2": ("invalid", 0),  # it is gone
    }
    changed = verdict([{**row, "topic": "other"} for row in ROWS[:3]] + ROWS[3:])
    assert "3 cases hold something else than when" in changed.caveat


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"cases": ROWS}, "cases=list; give Cases"),
        ({"samples": 2}, "samples=2 and no cases="),
        ({"slices": "topic"}, "slices='topic' and no cases="),
        ({"cases": Cases(ROWS), "replicates": 3}, "by samples="),
        ({"cases": Cases(ROWS), "samples": 0}, "samples=0"),
        ({"cases": Cases(ROWS), "samples": True}, "samples=True"),
        ({"cases": Cases(ROWS), "slices": "level"}, "case 'q0' has 0.0 there"),
        ({"cases": Cases(ROWS), "slices": "colour"}, "slices='colour', which case 'q0' lacks; it has 'id', "),
        ({"cases": Cases(ROWS), "initial_ctx": {"case": 1}}, "initial_ctx sets the key 'case'"),
        ({"cases": Cases(ROWS), "treatments": {"t": {"case": 1}}}, "treatment 't' sets the key 'case'"),
        ({"hypotheses": Hypothesis(metric=PassAt(1), direction="increase")}, "there are none; give cases="),
        (
            {"cases": Cases(ROWS), "hypotheses": Hypothesis(metric=PassAt(2), direction="increase")},
            r"'correct_pass@2_increase' is about PassAt\(2, 'correct'\), and there is 1 sample of each case",
        ),
        ({"hypotheses": Hypothesis(metric="m", direction="increase", slices=True)}, "what the slices are"),
    ],
)
def test_what_makes_no_sense_together_is_refused(parts, told):
    """The message says what to give instead."""
    with pytest.raises(DefinitionError, match=told):
        Experiment(0, [scored], **{"treatments": {"v2": {"gain": 1}}, **parts}).run()


@pytest.mark.parametrize(
    ("recorded", "told"),
    [
        ("nothing", "metric 'correct' is missing in case '.*' of 'baseline'; recorded there: 'score'"),
        ("score", r"metric 'correct pass@2' takes 0 or 1, and 'correct' is 12\.5 in case '.*' of 'baseline'"),
        ("text", "metric 'correct pass@2' takes 0 or 1, and 'correct' is 'yes' in case '.*' of 'baseline'"),
        ("nan", "metric 'correct' is nan in case '.*' of 'baseline'"),
    ],
)
def test_what_is_no_pass_or_fail_is_told_as_it_was_recorded(recorded, told):
    """Not as the estimate that could not be made of it, which nobody can record."""
    values = {"score": {"correct": 12.5}, "text": {"correct": "yes"}, "nan": {"correct": float("nan")}}

    @pipeline_step()
    def measured(data, ctx, *, gain=0.0):
        return data, {"score": gain, **values.get(recorded, {})}

    claim = Hypothesis(metric=PassAt(2), direction="increase", name="h")
    made = Experiment(
        fetched, [measured], cases=Cases(ROWS), samples=3, treatments={"v2": {"gain": 1}}, hypotheses=[claim]
    )
    verdict = made.run().get_hypothesis("h").verdicts["v2"]
    assert verdict.status == "invalid"
    assert re.search(told, verdict.reason)


def test_a_reference_of_fewer_samples_than_a_claim_takes_is_told(tmp_path):
    """With how many it has, and how many are needed."""
    file = tmp_path / "main.json"
    claims = {"hypotheses": [UP], "samples": 1}
    experiment(**claims).run().save_reference(file)
    claim = Hypothesis(
        metric=PassAt(3), direction="no_decrease", margin=0.1, name="h", against=Reference("main", path=file)
    )
    verdict = experiment(hypotheses=[claim]).run().get_hypothesis("h").verdicts["v2"]
    assert verdict.status == "invalid"
    told = "metric 'correct pass@3' takes 3 samples of a case, of which case '.*' of 'v2 in main' has 1"
    assert re.search(told, verdict.reason)


def test_replicates_can_not_be_set():
    """There are as many as cases and samples; and in a graph replicates pair by their numbers."""
    with pytest.raises(DefinitionError, match="cases= and samples="):
        experiment().run(replicates=3)
    with pytest.raises(DefinitionError, match="has cases, and in a graph"):
        ExperimentGraph(experiment())


def test_one_pass_and_searches():
    """A pass takes the first case, a trial all of them; there is no number of cases to be planned."""
    made = experiment(samples=2)
    first = made.run().records[0].metrics[0].unit
    assert made.apply("v2")["id"] == first
    assert {r.metrics[0].unit for r in made.debug("v2").records} == {first}
    search = GridSearch({"gain": [0.0, 5.0]}, Objective("score", direction="maximize"))
    assert made.optimize(search, num_trials=2).payload == {"gain": 5.0}
    with pytest.raises(DefinitionError, match="no number is to be planned"):
        made.plan()


def test_builder():
    """A builder takes cases in one call."""
    made = Experiment.builder("b").datasource(fetched).add_step(scored).cases(Cases(ROWS), samples=2).build()
    assert made.replicates == 40
