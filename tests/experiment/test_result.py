"""Results."""

import json
import math

import numpy as np
import pytest

from crystallize import Experiment, Hypothesis, LoggingPlugin, Treatment, pipeline_step


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Artifacts go to ./data."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def measure():
    @pipeline_step()
    def measure(data, ctx, *, delta=0.0, fail_at=()):
        ctx.record("duration", 1.5, measured=True)
        if ctx.replicate in fail_at:
            raise ValueError(f"bad luck in {ctx.replicate}")
        ctx.add("seen", delta)
        return data, {"x": data + delta}

    return measure


BOOST, DROP = Treatment("boost", {"delta": 1.0}), Treatment("drop", {"delta": -1.0})
UP = Hypothesis(metric="x", direction="increase")
DOWN = Hypothesis(metric="x", direction="decrease")


def run(measure, treatments=(BOOST,), hypotheses=(UP,), replicates=8):
    return Experiment(
        lambda ctx: ctx.rng.normal(),
        [measure],
        name="demo",
        treatments=treatments,
        hypotheses=hypotheses,
        replicates=replicates,
    ).run()


def test_samples_are_found_by_condition_and_metric(measure):
    """Under plain names, and with a version behind the name of a treatment."""
    metrics = run(measure).metrics
    assert len(metrics.baseline.metrics["x"]) == 8
    assert metrics.baseline["x"] == metrics["baseline"]["x"] == metrics.baseline.metrics["x"]
    assert metrics.treatments["boost (v0)"]["x"] == metrics.treatments["boost"].metrics["x"]
    assert list(metrics) == ["baseline", "boost"]
    assert list(metrics.treatments) == ["boost"]
    assert len(metrics) == 2
    assert len(metrics.treatments) == 1
    assert list(metrics.baseline) == ["duration", "x"]


def test_a_treatment_that_is_named_like_a_version_is_found_first(measure):
    """The exact name goes before the one without version."""
    metrics = run(measure, (BOOST, Treatment("boost (v0)", {"delta": 5.0})), ()).metrics
    assert metrics.treatments["boost (v0)"]["x"] != metrics.treatments["boost"]["x"]


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda r: r.metrics.treatments["bost"], "no treatment 'bost'; there is 'boost'"),
        (lambda r: r.metrics["bost"], "no treatment 'bost'; there is 'boost'"),
        (lambda r: r.metrics.baseline["y"], "no metric 'y' in 'baseline'; it has 'duration', 'x'"),
        (lambda r: r.metrics.baseline.metrics["y"], "no metric 'y' in 'baseline'; there is 'duration', 'x'"),
        (lambda r: r.get_hypothesis("y"), "no hypothesis 'y'; there is 'x_increase'"),
        (lambda r: r.get_hypothesis("x_increase").results["bost"], "no verdict on 'bost'; there is 'boost'"),
        (lambda r: r.get_hypothesis("x_increase").verdicts["bost"], "no verdict on 'bost'; there is 'boost'"),
    ],
)
def test_names_that_are_not_there_are_answered_with_those_that_are(measure, look_up, message):
    """A KeyError lists the alternatives."""
    with pytest.raises(KeyError, match=message):
        look_up(run(measure))


def test_the_only_verdict_is_among_the_metrics(measure):
    """Flat, for one hypothesis and one treatment."""
    result = run(measure)
    assert result.metrics["hypothesis"] == result.get_hypothesis("x_increase").results["boost"]
    assert result.metrics["hypothesis"]["verdict"] == "supported"


def test_several_verdicts_are_not_flat(measure):
    """The KeyError names the way to each of them; without hypotheses it says so."""
    with pytest.raises(
        KeyError,
        match=r"there are 2: get_hypothesis\('x_increase'\).results\['boost'\], .*\['drop'\]",
    ):
        run(measure, (BOOST, DROP)).metrics["hypothesis"]
    with pytest.raises(KeyError, match=r"there are 2: .*x_decrease"):
        run(measure, hypotheses=(UP, DOWN)).metrics["hypothesis"]
    with pytest.raises(KeyError, match="run without hypotheses"):
        run(measure, hypotheses=()).metrics["hypothesis"]


def test_verdicts_by_hypothesis_and_treatment(measure):
    """With what the verifier returned, and a ranking."""
    result = run(measure, (BOOST, DROP), (UP, DOWN))
    up = result.get_hypothesis("x_increase")
    assert {name: r["verdict"] for name, r in up.results.items()} == {"boost": "supported", "drop": "refuted"}
    assert up.results["drop"]["reason"].startswith("x goes the other way")
    assert up.verdicts["boost"].passed
    assert up.ranking == ["boost", "drop"]
    assert [h.name for h in result.hypotheses] == ["x_increase", "x_decrease"]
    assert "x_increase" in repr(up)


def test_errors_say_where_and_keep_the_traceback(measure):
    """Condition, replicate, step, message; other runs go on and samples keep their positions."""
    result = run(measure, (BOOST, Treatment("faulty", {"fail_at": (2, 5)})), replicates=8)
    assert [(e.condition, e.replicate, e.step, e.message) for e in result.errors] == [
        ("faulty", i, "measure", f"ValueError: bad luck in {i}") for i in (2, 5)
    ]
    assert 'raise ValueError(f"bad luck in {ctx.replicate}")' in result.errors[0].traceback
    assert str(result.errors[0]) == "replicate 2 of 'faulty', measure: ValueError: bad luck in 2"
    faulty = result.metrics.treatments["faulty"]["x"]
    assert [i for i, x in enumerate(faulty) if math.isnan(x)] == [2, 5]
    assert faulty[3] == result.metrics.baseline["x"][3]
    verdicts = result.get_hypothesis("x_increase").results
    assert verdicts["boost"]["verdict"] == "supported"
    assert verdicts["faulty"]["verdict"] == "invalid"
    assert "2 of 8 replicates of 'faulty' are missing" in verdicts["faulty"]["reason"]


def test_provenance_says_where_numbers_come_from(measure):
    """Seeds, step parameters, reads and writes, versions, commit."""
    provenance = run(measure, replicates=2).provenance
    assert provenance["root_seed"] == 0
    assert provenance["seeds"] == {0: 2735729615, 1: 1158725112}
    assert provenance["steps"] == [{"name": "measure", "params": {}}]
    assert {"python", "numpy", "scipy", "pytest-crystallize"} <= set(provenance["versions"])
    assert provenance["git_commit"] is None
    treated = next(run for run in provenance["runs"] if run["condition"] == "boost")
    assert treated["steps"] == [
        {"step": "boost", "reads": {}, "absent": [], "writes": {"delta": 1.0}},
        {"step": "<lambda>", "reads": {}, "absent": [], "writes": {}},
        {"step": "measure", "reads": {"delta": 1.0}, "absent": ["fail_at"], "writes": {"seen": 1.0}},
    ]


def strict(text):
    """Parse JSON as the standard has it."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_result_as_strict_json(measure):
    """Infinities and nan become strings, numpy's values numbers and lists, and the rest text."""

    def odd(baseline, treatment):
        extra = {"array": np.array([1.0, math.nan]), "set": {2, 1}, "object": math.inf, "int": [np.int64(3)]}
        return {"p_value": 0.5, "significant": False, "type": int, **extra}

    failing = Treatment("faulty", {"fail_at": (0,)})
    result = run(measure, (BOOST, failing), (UP, Hypothesis(odd, "x")), replicates=4)
    data = strict(result.to_json())
    assert data == strict(result.to_json(indent=None))
    assert data["metrics"]["faulty"]["x"][0] == "nan"
    odd_result = data["hypotheses"][1]["results"]["boost"]
    assert (odd_result["array"], odd_result["set"]) == ([1.0, "nan"], [1, 2])
    assert (odd_result["object"], odd_result["int"], odd_result["type"]) == ("inf", [3], "<class 'int'>")
    assert data["errors"][0]["step"] == "measure"
    assert data["digest"] == result.digest
    assert set(data) == set(result.to_dict())


def test_printing_is_readable(measure):
    """A line per sample and verdict, and the first errors."""
    result = run(measure, (BOOST, Treatment("faulty", {"fail_at": tuple(range(8))})))
    lines = str(result).splitlines()
    assert lines[0] == "demo: 8 replicates, seed 0"
    assert any(line.startswith("  baseline.x: mean ") and "n = 8 of 8 [" in line for line in lines)
    assert any(line.startswith("  x_increase [boost]: SUPPORTED (adjusted p = ") for line in lines)
    assert any(line.startswith("  x_increase [faulty]: INVALID: 8 of 8") for line in lines)
    assert lines[-1] == "  and 3 more errors"
    one = str(run(measure, (Treatment("faulty", {"fail_at": tuple(range(6))}),), replicates=6)).splitlines()
    assert one[-1] == "  and 1 more error"
    assert repr(result) == "<Result of 'demo': 8 replicates, 8 errors>"
    assert repr(run(measure, (), (), replicates=1)) == "<Result of 'demo': 1 replicate, 0 errors>"
    told = "<HypothesisResult 'x_increase': boost supported, faulty invalid>"
    assert repr(result.get_hypothesis("x_increase")) == told
    assert str(result.metrics).splitlines()[1].startswith("baseline.x: mean ")
    assert "boost" in repr(result.metrics)
    assert repr(result.metrics.treatments).startswith("{'boost': {'duration'")


def test_printing_other_values_than_numbers():
    """Text is shown as it is, and long samples are cut."""

    @pipeline_step()
    def talk(data, ctx):
        return data, {"word": "hi", "nothing": math.nan}

    text = str(Experiment(0, [talk], replicates=9).run())
    assert "baseline.word: ['hi', 'hi', 'hi', 'hi', 'hi', 'hi', ...]" in text
    assert "baseline.nothing: no values, n = 0 of 9" in text


def test_changing_a_result_changes_no_verdict(measure):
    """Samples handed out are copies."""
    result = run(measure)
    before = result.digest, result.metrics["hypothesis"]
    result.metrics.baseline.metrics["x"].clear()
    assert (result.digest, result.metrics["hypothesis"]) == before
    assert len(result.metrics.baseline.runs.metrics["x"]) == 8


def test_records_come_by_replicate(measure):
    """The baseline first, then the treatments in order, whatever order they ran in."""
    records = run(measure, (BOOST, DROP), (), 3).records
    assert [(r.replicate, r.condition) for r in records] == [
        (i, condition) for i in range(3) for condition in ("baseline", "boost", "drop")
    ]


def test_texts_of_others_are_escaped(capsys, caplog):
    """No name, message or metric moves a cursor, or gives a command to a job's runner."""
    hostile = "x\n::error::a\x1b[2A\u202e\x85"

    @pipeline_step()
    def measure(data, ctx):
        ctx.metrics.add(f"metric{hostile}", 1.0)
        if ctx.condition != "baseline":
            raise ValueError(f"message{hostile}")

    caplog.set_level("INFO")
    result = Experiment(
        lambda ctx: 0,
        [measure()],
        plugins=[LoggingPlugin()],
        treatments=[Treatment(f"treatment{hostile}", {})],
        hypotheses=[Hypothesis(metric=f"metric{hostile}", direction="increase")],
        replicates=3,
        name=f"name{hostile}",
    ).run()
    result.print_tree()
    printed = capsys.readouterr().out
    for text in (printed, str(result), *(record.getMessage() for record in caplog.records)):
        assert not [line for line in text.split("\n") if not line.isprintable()]
        assert not [line for line in text.split("\n") if line.lstrip().startswith("::")]
        assert "x1b" in text


def test_a_result_of_values_whose_sum_is_no_float_is_shown():
    """Their mean is one."""

    @pipeline_step()
    def step(data, ctx):
        ctx.metrics.add("x", 1.6e308 + ctx.replicate * 1e307)
        return data

    result = Experiment(0, [step], replicates=2).run()
    assert "baseline.x: mean 1.65e+308, n = 2 of 2" in str(result.metrics)
    assert "mean 1.65e+308" in str(result)
