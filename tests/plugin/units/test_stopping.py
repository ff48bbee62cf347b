"""Early stopping under pytest: the same verdicts and replicates, however many workers there are."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import json
import re
from string import Template

import pytest

from crystallize import Experiment, GroupSequential, Hypothesis, Treatment, pipeline_step
from plugin.conftest import properties

SOURCE = Template("""
import json

def note(*words):
    with open("log", "a") as log:
        log.write(json.dumps(words) + "\\n")

@pytest.mark.experiment(
    replicates=30,
    treatments={"far": {"delta": 3.0}, "near": {"delta": $near}},
    hypotheses=[
        $up,
        Hypothesis(metric="x", direction="no_decrease", margin=1.0, name="guard"),
    ],
    $declared
)
def experiment_stopped(rng, condition, replicate, delta=0.0):
    $first
    return {"x": $noise + delta * rng.uniform(0.5, 1.5)}

@pytest.mark.experiment(
    replicates=30,
    treatments={"far": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="x", direction="increase", name="all")],
)
def experiment_whole(rng, condition, replicate, delta=0.0):
    note("whole", condition, replicate)
    return {"x": $noise + delta * rng.uniform(0.5, 1.5)}
""")
CLAIM = 'Hypothesis(metric="x", direction="increase", name="up")'
NOTE = 'note("stopped", condition, replicate)'


def source(
    *more, near=0.7, up=CLAIM, declared="stopping=GroupSequential(looks=5),", first=NOTE, noise="rng.normal()"
):
    """Return an experiment that is stopped early and one that is not; more is done first in the former."""
    first = "\n    ".join([first, *more])
    return SOURCE.substitute(near=near, up=up, declared=declared, first=first, noise=noise)


OF_CASES = """
@pytest.mark.experiment(
    replicates=30,
    treatments={"far": {"delta": 3.0}},
    hypotheses=[Hypothesis(metric="x", direction="increase", name="of_cases")],
    stopping=GroupSequential(looks=5),
)
def experiment_of_cases(ctx, rng, condition, replicate, delta=0.0):
    note("of_cases", condition, replicate)
    for case in "abcdef":
        ctx.metrics.add("x", rng.normal() + delta * rng.uniform(0.5, 1.5), unit=case)
"""


@pipeline_step()
def draw(data, ctx, *, delta=0.0):
    return data, {"x": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}


def numbers(project):
    """Return what does not change from run to run in the JUnit properties, by test case."""
    return {
        name: {k: v for k, v in properties(case).items() if k not in ("compute_seconds", "cached_runs")}
        for name, case in project.cases().items()
    }


def ran(project):
    """Return how many replicates of each experiment and condition were run, each once and without a gap."""
    rows = project.log()
    (project.path / "log").unlink()
    found = {}
    for name, condition, replicate in rows:
        found.setdefault((name, condition), []).append(replicate)
    for replicates in found.values():
        assert sorted(replicates) == list(range(len(replicates)))
    return {key: len(replicates) for key, replicates in found.items()}


WAYS = [("-n0",), ("-n2",)]
MORE_WAYS = [("-n0",), ("-n4", "--dist=load"), ("-n4", "--dist=worksteal")]


OF_UNITS = Template("""
def looked_at(name, stopping):
    return pytest.mark.experiment(
        replicates=30,
        treatments={"far": {"delta": 3.0}},
        hypotheses=[Hypothesis(metric="x", direction="increase", name=name)],
        **({} if stopping is None else {"stopping": stopping}),
    )

@looked_at("crossed", $stopping)
def experiment_crossed(ctx, rng, delta=0.0):
    for case in "abcdef":
        ctx.metrics.add("x", rng.normal() + delta * rng.uniform(0.5, 1.5), unit=case)

@looked_at("nested", $stopping)
def experiment_nested(ctx, rng, replicate, delta=0.0):
    ctx.metrics.add("x", rng.normal() + delta * rng.uniform(0.5, 1.5), unit=f"case {replicate // 3}")
""")


@pytest.mark.slow
def test_looks_at_units_find_the_same_in_a_cache(project):
    """Whatever it holds: nothing, the replicates of the looks, or all of them."""
    found = []
    for stopping in ("GroupSequential()", "GroupSequential()", "None", "GroupSequential()"):
        project.write(OF_UNITS.substitute(stopping=stopping))
        result = project.run("-v", "--junitxml=junit.xml")
        result.assert_outcomes(passed=2)
        text = " ".join(result.stdout.str().split())
        found.append(
            (numbers(project), re.findall(r"::(\w+: .*?) of 2 conditions", text), text.count("(cached)"))
        )
    cold, warm, whole, again = found
    assert cold[:2] == warm[:2] == again[:2]
    assert (cold[2], warm[2], whole[2], again[2]) == (0, 2, 1, 2)
    assert cold[1][0].startswith("experiment_crossed: stopped at ")
    assert cold[1][1] == "experiment_nested: 30 replicates"
    assert "looked at once, at the end" in text
    assert cold[0]["nested[far]"]["p_value"] == whole[0]["nested[far]"]["p_value"]


@pytest.mark.slow
@pytest.mark.parametrize("ways", [WAYS, pytest.param(MORE_WAYS, marks=pytest.mark.slow)], ids=["few", "many"])
def test_the_same_verdicts_however_run(project, ways):
    """Verdict, p, level and n with and without workers; nothing behind the stopping look is run; the summary says so."""
    project.write(source() + OF_CASES)
    outcomes = []
    for options in ways:
        result = project.run_apart(*options, "--junitxml=junit.xml", "-v")
        result.assert_outcomes(passed=6)
        outcomes.append((numbers(project), ran(project)))
        found = {name: int(values["n"]) for name, values in numbers(project).items()}
        stopped = max(found[f"{name}[{t}]"] for name in ("up", "guard") for t in ("far", "near"))
        assert 6 <= stopped < 30
        text = " ".join(result.stdout.str().split())
        assert f"experiment_stopped: stopped at {stopped} of 30 replicates of 3 conditions" in text
        assert "experiment_whole: 30 replicates of 2 conditions" in text
        n = found["of_cases[far]"]
        assert f"experiment_of_cases: stopped at {n} of 30 replicates of 2 conditions" in text
        assert outcomes[-1][1] == {
            **{("stopped", condition): stopped for condition in ("baseline", "far", "near")},
            **{("whole", condition): 30 for condition in ("baseline", "far")},
            **{("of_cases", condition): n for condition in ("baseline", "far")},
        }
    assert len({json.dumps(verdicts, sort_keys=True) for verdicts, _ in outcomes}) == 1
    assert len({values["n"] for name, values in outcomes[0][0].items() if "all" not in name}) > 1


@pytest.mark.slow
def test_the_same_as_the_library(project):
    """A factory's experiment stops where `Experiment.run` does, and so it does if one claim is selected."""
    project.write("""
        @pipeline_step()
        def draw(data, ctx, *, delta=0.0):
            with open("log", "a") as log:
                log.write(f'["a", "{ctx.condition}", {ctx.replicate}]\\n')
            return data, {"x": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

        def experiment_built():
            return (
                Experiment.builder("built").datasource(0).add_step(draw())
                .treatments([Treatment("far", {"delta": 3.0}), Treatment("near", {"delta": 1.1})])
                .hypotheses([Hypothesis(metric="x", direction="increase", name="up")])
                .replicates(30).stopping(GroupSequential()).build()
            )
    """)
    result = Experiment(
        0,
        [draw],
        treatments=[Treatment("far", {"delta": 3.0}), Treatment("near", {"delta": 1.1})],
        hypotheses=[Hypothesis(metric="x", direction="increase", name="up")],
        replicates=30,
        stopping=GroupSequential(),
    ).run()
    expected = result.get_hypothesis("up").verdicts
    project.run("--junitxml=junit.xml").assert_outcomes(passed=2)
    assert ran(project) == {("a", c): result.replicates for c in ("baseline", "far", "near")}
    for name, verdict in expected.items():
        values = numbers(project)[f"up[{name}]"]
        assert (values["n"], float(values["p_value"])) == (str(verdict.n), verdict.p_value)
    for name, verdict in expected.items():
        project.run("-k", name, "--junitxml=alone.xml").assert_outcomes(passed=1, deselected=1)
        assert ran(project) == {("a", c): verdict.n for c in ("baseline", name)}
        alone = properties(project.cases("alone.xml")[f"up[{name}]"])
        assert (alone["n"], float(alone["p_value"])) == (str(verdict.n), verdict.p_value)


@pytest.mark.slow
def test_switched_on_by_option_or_ini(project):
    """`--crystallize-early-stop` and its ini twin stop what declares nothing; verifiers and BH are left alone."""
    project.write(
        source()
        + """

@verifier
def always(baseline, treatment):
    return {"p_value": 0.01, "significant": len(treatment["x"]) == 12}

def experiment_bh():
    @pipeline_step()
    def step(data, ctx, *, delta=0.0):
        return data, {"x": ctx.rng.normal() + delta}
    treatments = [Treatment("far", {"delta": 5.0}), Treatment("too", {"delta": 4.0})]
    return Experiment(0, [step], treatments=treatments, hypothesis=Hypothesis(metric="x", direction="differ"),
                      replicates=12, correction="bh")

@pytest.mark.experiment(replicates=12, treatments={"t": {"a": 1}}, hypotheses=[Hypothesis(always, "x")])
def experiment_verified(a=0):
    return {"x": a}
"""
    )
    project.run().assert_outcomes(passed=8)
    assert ran(project)["whole", "far"] == 30
    result = project.run("--crystallize-early-stop")
    result.assert_outcomes(passed=8)
    first = ran(project)
    assert first["whole", "far"] == first["whole", "baseline"] < 30
    text = " ".join(result.stdout.str().split())
    assert f"experiment_whole: stopped at {first['whole', 'far']} of 30 replicates" in text
    assert "experiment_bh is not stopped early: correction='bh' and stopping=" in text
    assert "experiment_bh: 12 replicates" in text
    assert "experiment_verified: 12 replicates" in text
    project.ini("crystallize_early_stop = true\n")
    project.run().assert_outcomes(passed=8)
    assert ran(project) == first


def test_a_claim_that_looks_can_not_judge_is_judged_at_once(project):
    """The option stops nothing then, and says why."""
    project.write("""
@pytest.mark.experiment(replicates=12, treatments={"t": {"by": 1.0}}, hypotheses=[
    Hypothesis(metric="x", direction="increase", alternative="one-sided", alpha=0.6)])
def experiment_lenient(rng, by=0.0):
    return {"x": rng.normal() + by * rng.uniform(0.5, 1.5)}
""")
    result = project.run("--crystallize-early-stop")
    result.assert_outcomes(passed=1)
    text = " ".join(result.stdout.str().split())
    assert (
        "experiment_lenient is not stopped early: --crystallize-early-stop: hypothesis 'x_increase' is"
        in text
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("stopping", ["GroupSequential()", "AnytimeValid()", "AnytimeValid(every=1)"])
def test_few_replicates(project, n, stopping):
    """Below any sensible look there is a verdict, INVALID below three; what can't be reached is not run."""
    project.write(source(declared=f"stopping={stopping},"))
    result = project.run(f"--crystallize-replicates={n}", "-v", "-k", "stopped")
    assert "INTERNALERROR" not in result.stdout.str()
    if stopping.startswith("Anytime"):
        text = " ".join(result.stdout.str().split())
        assert "AnytimeValid() can't give a p-value below" in text
        assert "so it can't reach alpha = 0.05 / 2 claims; plan at least 6" in text
        assert (result.ret, (project.path / "log").exists()) == (2, False)
        return
    assert sum(result.parseoutcomes().get(word, 0) for word in ("passed", "failed")) == 4
    if n < 3:
        result.assert_outcomes(failed=4, deselected=1)
        assert (
            len(re.findall("(?m)^INVALID: the .* test needs at least 3 replicates", result.stdout.str())) == 4
        )


def test_a_failure_in_the_first_look(project):
    """INVALID, nothing behind it is run, and the failure can be repeated."""
    project.write(source("assert replicate != 2"))
    result = project.run("-k", "stopped")
    result.assert_outcomes(failed=4, deselected=1)
    assert set(ran(project).values()) == {6}
    text = " ".join(result.stdout.str().split())
    assert "experiment_stopped: stopped at 6 of 30 replicates" in text
    assert "--crystallize-repro=2:baseline" in text


def test_stop_at_the_first_failure(project):
    """-x behind a failing claim ends the session without running what only the other claims need."""
    project.write(source(up='Hypothesis(metric="x", direction="decrease", name="up")'))
    result = project.run("-x", "-k", "stopped")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    project.run("--lf", "-k", "up and far").assert_outcomes(failed=1, deselected=4)


def test_a_claim_that_is_expected_to_fail(project):
    """Xfail covers a claim that is not supported, and its looks are part of the experiment."""
    claim = 'Hypothesis(metric="x", direction="decrease", name="up")'
    project.write(source(up=f"pytest.param({claim}, marks=pytest.mark.xfail)"))
    project.run("-k", "stopped").assert_outcomes(passed=2, xfailed=2, deselected=1)


@pytest.mark.slow
def test_a_worker_that_dies_in_a_look(project):
    """The session ends, the verdicts that lack the replicate are INVALID, and later looks are not begun."""
    project.write(source('if replicate == 3 and condition == "far": os._exit(3)'))
    result = project.run_workers("-k", "stopped", "-v")
    assert result.ret == 1
    text = result.stdout.str()
    assert "INTERNALERROR" not in text
    assert (
        len(re.findall(r"INVALID: 1 of 6 replicates of 'far' are missing: replicate 3 failed with", text))
        == 2
    )
    rows = [tuple(row) for row in project.log()]
    assert rows.count(("stopped", "far", 3)) == 1
    assert "experiment_stopped: stopped at" in text
    result.assert_outcomes(failed=2, passed=2)


def test_a_graph_reads_behind_the_stop(project):
    """What others read is run for them; its own verdict is that of its look."""
    project.write("""
        @pipeline_step()
        def write(data, ctx, *, delta=0.0):
            value = ctx.rng.normal() + 2 * delta
            ctx.artifacts.add("value.txt", str(value).encode())
            return data, {"x": value}

        @pipeline_step()
        def read(data, ctx):
            return data, {"x": data * ctx.rng.normal()}

        def experiment_graph():
            claim = Hypothesis(metric="x", direction="increase", name="up")
            out = Artifact("value.txt", loader=float)
            first = Experiment(0, [write], name="first", outputs=[out], hypothesis=claim, replicates=20,
                               treatments=[Treatment("t", {"delta": 1.0})], stopping=GroupSequential())
            second = Experiment(out, [read], name="second", treatments=[Treatment("t", {"delta": 1.0})],
                                hypothesis=Hypothesis(metric="x", direction="differ"), replicates=20)
            return ExperimentGraph(first, second)
    """)
    result = project.run("--junitxml=junit.xml", "-v")
    found = numbers(project)
    assert int(found["first.up[t]"]["n"]) < 20
    assert found["first.up[t]"]["verdict"] == "supported"
    assert found["second.x_differ[t]"]["n"] == "20"
    assert "INTERNALERROR" not in result.stdout.str()


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("stopping=GroupSequential", "stopping is <class .*call it"),
        ("stopping=GroupSequential(), correction='bh'", "correction='bh' and stopping="),
        ("correction='tukey'", "correction is 'tukey'; allowed are"),
        ("resampled=20", "resampled is 20; give the part"),
    ],
)
def test_nonsense_in_the_mark(project, keyword, message):
    """It is an error of collection, with the place and the reason."""
    project.write(source(declared=f"{keyword},"))
    result = project.run()
    assert result.ret == 2
    assert re.search(rf"experiment_a.py:\d+: {message}", " ".join(result.stdout.str().split()))


OWN = {"noise": "np.random.default_rng([replicate, len(condition)]).normal()", "near": 0.6}


def report_of(project, *args):
    project.run("-k", "stopped and up", "--crystallize-report=r.json", *args)
    (each,) = json.loads((project.path / "r.json").read_text())["experiments"]
    return each


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_condition_that_is_decided_is_not_run_on(project, workers):
    """The summary says so."""
    project.write(source(**OWN))
    result = project.run("-k", "stopped and up", "--crystallize-report=r.json", workers)
    (each,) = json.loads((project.path / "r.json").read_text())["experiments"]
    n = {test["treatment"]: test["verdict"]["n"] for test in each["tests"]}
    assert n["far"] < n["near"]
    runs = [json.loads(line) for line in (project.path / "log").read_text().splitlines()]
    made = {name: sum(run[1] == name for run in runs) for name in ("baseline", "far", "near")}
    assert made == {"baseline": n["near"], **n}
    text = " ".join(result.stdout.str().split())
    assert f"not run on, since all that is claimed of them was decided: 'far' after {n['far']} of" in text


@pytest.mark.slow
def test_what_is_stored_beyond_a_decision_counts_in_nothing(project):
    """As if it were not there, whether the runs were made without looks or with them."""
    project.write(source(**OWN, first="pass", declared=""))
    early = "--crystallize-early-stop"
    cold = report_of(project, early)
    warm = report_of(project, early)
    whole = report_of(project)
    beyond = report_of(project, early)
    assert whole["condition_runs"] == 90 > cold["condition_runs"]
    assert cold["cached"] == 0
    for each in (warm, beyond):
        assert each["cached"] == each["condition_runs"] == cold["condition_runs"]
        for key in ("digests", "samples", "notes"):
            assert each[key] == cold[key]
        assert [t["verdict"] for t in each["tests"]] == [t["verdict"] for t in cold["tests"]]
