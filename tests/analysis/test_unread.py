"""Keys that a treatment sets and nothing reads: no claim about it is supported."""

import warnings

import pytest

from crystallize import (
    AnytimeValid,
    Artifact,
    AsyncExecution,
    ConditionRuns,
    Experiment,
    ExperimentGraph,
    GroupSequential,
    Hypothesis,
    ParallelExecution,
    Reference,
    Treatment,
    evaluate,
    pipeline_step,
    treatment,
    verifier,
)
from crystallize.analysis.unread import TreatmentKeys
from crystallize.errors import CrystallizeWarning, DefinitionError

pytestmark = pytest.mark.filterwarnings("ignore::crystallize.errors.CrystallizeWarning")

NO_WORSE = Hypothesis(metric="y", direction="no_decrease", margin=5.0)


@verifier
def always(baseline, treatment):
    return {"p_value": 0.0, "significant": True}


CLAIMS = {
    "no_decrease": NO_WORSE,
    "no_increase": Hypothesis(metric="y", direction="no_increase", margin=5.0),
    "equal": Hypothesis(metric="y", direction="equal", margin=5.0),
    "worst": Hypothesis(metric="y", direction="no_decrease", margin=5.0, nan_policy="worst"),
    "verifier": Hypothesis(always, "y"),
    "verifier of all": Hypothesis(always),
    "deterministic": Hypothesis(metric="z", direction="equal", margin=1.0, deterministic=True),
}


@pipeline_step()
def measure(data, ctx, *, layers=10, late=None):
    if ctx.replicate == late:
        ctx.get("rare")
    return data, {"y": ctx.rng.normal(), "z": 1}


def verdicts(*treatments, hypotheses=(NO_WORSE,), replicates=12, **options):
    experiment = Experiment(
        0, [measure], treatments=treatments, hypotheses=hypotheses, replicates=replicates, **options
    )
    result = experiment.run()
    return [verdict for h in result.hypotheses for verdict in h.verdicts.values()], result


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_claim_about_it_is_supported(claim):
    """Neither one without a change nor a verifier's, which all hold of two equal samples."""
    (verdict,), result = verdicts(Treatment("cheap", {"layres": 1}), hypotheses=[CLAIMS[claim]])
    assert verdict.status == "invalid"
    assert verdict.reason == (
        "treatment 'cheap' sets 'layres', which no run read; known are: 'late', 'layers'. If nothing need "
        "read it: Treatment('cheap', ..., optional={'layres'})"
    )
    arms = (result.metrics.baseline.runs, result.metrics.treatments["cheap"].runs)
    assert evaluate(CLAIMS[claim], *arms).reason == verdict.reason
    allowed = TreatmentKeys({"cheap": frozenset({"layres"})})
    assert evaluate(CLAIMS[claim], *arms, keys=allowed).status == "supported"


def read_by_itself(ctx):
    ctx.add("layers", 1)
    ctx.add("layres", ctx["layers"])
    ctx.get("layres")


@pytest.mark.parametrize(
    "cheap",
    [
        Treatment("cheap", {"layers": 1, "layres": 1}),
        Treatment("cheap", lambda ctx: ctx.add("layres", ctx.get("layers", 1))),
        Treatment("cheap", read_by_itself),
    ],
    ids=["beside a key that is read", "set by a function", "read by the treatment alone"],
)
def test_every_key_counts(cheap):
    """Of a mapping and of a function; what a treatment reads of itself is not read."""
    (verdict,), _ = verdicts(cheap)
    assert verdict.status == "invalid"
    assert "sets 'layres', which no run read" in verdict.reason


def test_optional_keys_may_stay_unread():
    """In every spelling; the others may not."""

    def by_hand(ctx):
        ctx.add("layers", 1)
        ctx.add("x", 1)

    for cheap in (
        Treatment("cheap", {"layers": 1, "x": 1}, optional=(key for key in "x")),
        treatment("cheap", {"layers": 1, "x": 1}, optional=["x"]),
        treatment("cheap", optional={"x"})(by_hand),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", CrystallizeWarning)
            (verdict,), _ = verdicts(cheap)
        assert verdict.status == "supported"
    (verdict,), _ = verdicts(Treatment("cheap", {"x": 1, "z": 1}, optional={"x"}))
    assert "sets 'z'," in verdict.reason


@pytest.mark.parametrize(
    ("optional", "message"),
    [
        ({"retrys"}, "has optional key 'retrys', which it does not set; it sets 'retries'"),
        ("retries", "has optional='retries'; give the keys that nothing need read"),
        (3, "has optional=3; give the keys"),
        ([3], "give the keys"),
    ],
)
def test_optional_keys_are_keys_of_the_treatment(optional, message):
    """Others are refused."""
    with pytest.raises(DefinitionError, match=message):
        Treatment("t", {"retries": 3}, optional=optional)


def test_one_replicate_that_reads_it_is_enough():
    """As where a key is read under a condition; also one whose run fails behind it."""

    @pipeline_step()
    def failing(data, ctx):
        if ctx.replicate == 3:
            ctx.get("rare")
            raise ValueError
        return data

    rare = Treatment("t", {"rare": 1})
    (verdict,), _ = verdicts(rare, initial_ctx={"late": 11})
    assert verdict.status == "supported"
    omitting = Hypothesis(metric="y", direction="equal", margin=5, nan_policy="omit", max_missing=1)
    steps = [measure, failing]
    result = Experiment(0, steps, treatments=[rare], hypotheses=[omitting], replicates=12).run()
    assert result.get_hypothesis("y_equal").verdicts["t"].status == "supported"


def test_reading_everything_reads_every_key():
    """So does asking whether a key is there."""

    @pipeline_step()
    def everything(data, ctx):
        ctx.as_dict()
        return data, {"y": 1.0}

    @pipeline_step()
    def asking(data, ctx):
        return data, {"y": float("verbose" in ctx)}

    for step in (everything, asking):
        result = Experiment(
            0, [step], treatments={"t": {"verbose": 1}}, hypotheses=CLAIMS["verifier"], replicates=3
        ).run()
        assert result.metrics["hypothesis"]["verdict"] == "supported"


@pytest.mark.parametrize("stopping", [GroupSequential(), AnytimeValid()])
def test_a_look_does_not_decide_before_the_key_is_read(stopping):
    """A later replicate may read it; at the last look the claim is invalid."""
    different = Hypothesis(metric="y", direction="no_decrease", margin=5.0)
    options = {"hypotheses": [different], "replicates": 20, "stopping": stopping}
    (verdict,), result = verdicts(Treatment("t", {"rare": 1}), **options)
    assert (verdict.status, result.replicates) == ("invalid", 20)
    (verdict,), result = verdicts(Treatment("t", {"rare": 1}), initial_ctx={"late": 13}, **options)
    assert verdict.status == "supported"
    assert 13 < result.replicates <= 20
    (verdict,), result = verdicts(Treatment("t", {"layers": 1}), **options)
    assert (verdict.status, result.replicates < 13) == ("supported", True)


def test_its_p_value_counts_as_none_in_the_family():
    """What was not measured helps no other claim."""
    up = Hypothesis(metric="y", direction="differ")
    found, _ = verdicts(
        Treatment("slip", {"layres": 1}), Treatment("t", {"layers": 1}), hypotheses=[up], replicates=12
    )
    assert [verdict.status for verdict in found] == ["invalid", "inconclusive"]
    assert found[1].family == 2


def test_against_a_reference(tmp_path):
    """Today's condition must be what its treatment declares; the baseline has none."""
    path = tmp_path / "r.json"
    kept = Hypothesis(metric="y", direction="equal", margin=5.0, against=Reference("main", path=path))
    slip = Treatment("t", {"layres": 1})
    _, result = verdicts(slip, hypotheses=())
    result.save_reference(path)
    found, _ = verdicts(slip, hypotheses=[kept])
    assert [verdict.status for verdict in found] == ["supported", "invalid"]


@pytest.mark.parametrize("execution", [ParallelExecution(max_workers=2), AsyncExecution()])
def test_however_it_is_run(execution):
    """Reads are part of the records."""
    found, _ = verdicts(Treatment("slip", {"layres": 1}), Treatment("t", {"layers": 1}), plugins=[execution])
    assert [verdict.status for verdict in found] == ["invalid", "supported"]


def test_what_cached_steps_read_counts(tmp_path, monkeypatch):
    """Also where the step is not called."""
    monkeypatch.chdir(tmp_path)

    @pipeline_step(cacheable=True)
    def cached(data, ctx, *, layers=1):
        return data, {"y": 1.0}

    experiment = Experiment(
        0, [cached], treatments={"t": {"layers": 2}}, hypotheses=CLAIMS["verifier"], replicates=3
    )
    for _ in range(2):
        assert experiment.run().metrics["hypothesis"]["verdict"] == "supported"


TABLE = Artifact.json("table.json")


@pipeline_step()
def write(data, ctx, *, words=1):
    ctx.artifacts.add("table.json", words)
    return data, {"y": 1.0}


@pipeline_step()
def read(data, ctx, *, threshold=0):
    return data, {"y": 1.0}


def graph_verdicts(treatments, *, own=None):
    claims = [Hypothesis(always, "y")]
    graph = ExperimentGraph(
        Experiment(0, [write], name="write", outputs=[TABLE], hypotheses=claims, replicates=3),
        Experiment(TABLE, [read], name="read", hypotheses=claims, treatments=own or {}, replicates=3),
        treatments=treatments,
    )
    return {
        name: {t: verdict.status for t, verdict in result.get_hypothesis("always").verdicts.items()}
        for name, result in graph.run().items()
    }


def test_in_a_graph_what_is_upstream_counts(tmp_path, monkeypatch):
    """A key that is read upstream reaches what reads the output; one that nothing read reaches nothing."""
    monkeypatch.chdir(tmp_path)
    found = graph_verdicts({"longer": {"words": 5}, "slip": {"wrods": 5}})
    assert found == {name: {"longer": "supported", "slip": "invalid"} for name in ("write", "read")}
    both = {"both": {"words": 5, "threshold": 1}}  # each experiment reads a key of it
    assert graph_verdicts(both) == {"write": {"both": "supported"}, "read": {"both": "supported"}}
    own = {"own": {"threshold": 1}, "slip": {"treshold": 1}}
    found = graph_verdicts({"longer": {"words": 5}}, own=own)
    assert found["read"] == {"own": "supported", "slip": "invalid", "longer": "supported"}


def experiment(*treatments, read=()):
    @pipeline_step()
    def step(data, ctx, *, delta=0.0):
        for key in read:
            ctx.get(key)
        if ctx.get("fail", False):
            raise ValueError
        return data, {"x": delta}

    return Experiment(0, [step], treatments=treatments, name="typo", replicates=3)


def unread(treatment, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrystallizeWarning)
        result = experiment(treatment, **options).run()
    return TreatmentKeys.of([treatment]).unread(result.metrics.treatments[treatment.name].runs)


def test_keys_that_nothing_read_are_found():
    """Of a mapping and of a function, in the order in which they are set."""
    assert unread(Treatment("t", {"delta": 1})) == []
    assert unread(Treatment("t", {"detla": 1, "delta": 2, "b": 3})) == ["detla", "b"]
    assert unread(Treatment("t", lambda ctx: ctx.add("detla", 1))) == ["detla"]
    assert unread(Treatment("t", {"other": 1}), read=["other"]) == []


def test_what_a_treatment_reads_of_itself_is_not_read():
    """It changes nothing outside."""

    def change(ctx):
        ctx.add("a", 1)
        ctx.get("a")

    assert unread(Treatment("t", change)) == ["a"]


def test_a_step_named_like_the_treatment_reads_all_the_same():
    """The treatment's own scope is the first one only."""
    assert unread(Treatment("step", {"delta": 1})) == []


def test_without_a_successful_run_nothing_is_known():
    """A run that failed may have failed before it read the key."""
    treatment = Treatment("t", {"fail": True, "later": 1})
    assert unread(treatment) == []
    assert TreatmentKeys.of([treatment]).unread(ConditionRuns("t", [None])) == []


def test_a_key_that_nothing_read_is_warned_about():
    """The warning names treatment and key, and what was looked up in vain."""
    with pytest.warns(
        CrystallizeWarning,
        match=r"treatment 'boost' of experiment 'typo' sets 'detla', which nothing read \(known are: "
        r"'delta', 'fail'\)",
    ) as caught:
        experiment(Treatment("boost", {"detla": 1})).run()
    assert caught[0].filename == __file__
