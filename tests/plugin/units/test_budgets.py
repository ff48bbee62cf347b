"""Budgets: once spent, nothing new is begun, and the next session goes on."""

# ruff: noqa: E501 - lines of projects under test

from string import Template

import pytest

SOURCE = Template("""
    @remote(key="1")
    def chat(text):
        return text * 2

    @pytest.mark.experiment(
        cases=Cases([{"id": f"q{i}", "text": "x" * (1 + i % 7) + str(i)} for i in range(20)]), treatments={"v2": {"gain": 9.0}},
        hypotheses=[Hypothesis(metric="score", direction="increase", nan_policy="omit", max_missing=0.9)],
        $budget
    )
    def experiment_a(case, rng, gain=0.0):
        $called(f"{case['text']} {gain}")
        return {"score": rng.normal() + gain * rng.uniform(), "cost": 0.25}
""")


def source(budget, called="chat"):
    """Return an experiment on twenty cases that calls a remote function, or another one."""
    return SOURCE.substitute(budget=budget, called=called)


@pytest.mark.parametrize(
    ("budget", "option", "told"),
    [
        ("budget=Budget(calls=16)", "", "16 calls were made, of 16"),
        pytest.param(
            'budget=Budget(metric="cost", total=4)', "", "cost is 4 in all, of 4", marks=pytest.mark.slow
        ),
        pytest.param(
            "",
            "--crystallize-budget=calls=16,minutes=30",
            "16 calls were made, of 16",
            marks=pytest.mark.slow,
        ),
        ("budget=Budget(calls=500)", "--crystallize-budget=cost=4", "cost is 4 in all, of 4"),
    ],
)
def test_a_budget_is_spent_and_the_next_session_goes_on(project, budget, option, told):
    """What was run is stored; the claim is invalid until everything has run, whatever may be omitted."""
    project.write(source(budget, "chat" if "calls were" in told else "str"))
    options = [option] if option else []
    for done in (8, 16):
        result = project.run(*options)
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(
            [f"INVALID: budget spent at {done} of 20 cases of 'baseline': {told};*goes on*"]
        )
        result.stdout.no_fnmatch_line("repeat it: *")  # what was not begun has not failed
    project.run(*options).assert_outcomes(passed=1)


@pytest.mark.parametrize("metric", ["csot", pytest.param("broken", marks=pytest.mark.slow)])
def test_what_runs_do_not_tell_of_their_cost_is_said(project, metric):
    """A misspelt name, or nan, would limit nothing in silence."""
    text = source(f'budget=Budget(metric="{metric}", total=4)', called="str")
    project.write(text.replace('"cost": 0.25', '"broken": float("nan")'))
    said = " ".join(line.strip() for line in project.run().outlines)
    told = f"runs that recorded no finite '{metric}' count for nothing"
    assert f"note: budget of experiment_a.py::experiment_a: {told}" in said


@pytest.mark.slow
def test_workers_share_a_budget(project):
    """All of them together make as many calls as it allows, but for those that are under way."""
    project.write(source("budget=Budget(calls=16)"))
    result = project.run_workers()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*budget spent at * of 20 cases of *", "remote chat: 1[678] of *"])


def test_time_is_up(project):
    """Minutes count from the first run of the experiment."""
    project.write(source("budget=Budget(minutes=1e-9)"))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*budget spent at 0 of 20 cases*1e-09 minutes are over*"])


@pytest.mark.parametrize(("typed", "meant"), [("call", "calls"), ("Minutes", "minutes")])
def test_a_limit_that_is_misspelt_is_no_metric(project, typed, meant):
    """It would limit nothing."""
    project.write(source(""))
    result = project.run(f"--crystallize-budget={typed}=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{typed}=3' is no limit; did you mean {meant}=[?]; give calls=N*"])


def test_factories_have_budgets(project):
    """The mark of a factory has it; without cases it counts replicates."""
    project.write(
        """
        @pipeline_step()
        def scored(data, ctx, *, gain=0.0):
            return data, {"score": ctx.rng.normal() + gain, "cost": 1.0}

        pytestmark = pytest.mark.experiment(budget=Budget(metric="cost", total=3.0))

        def experiment_f():
            return Experiment([1], [scored], replicates=5, treatments={"v2": {"gain": 9.0}},
                hypotheses=[Hypothesis(metric="score", direction="increase")])
    """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*budget spent at 1 of 5 replicates of 'baseline'*"])


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("Budget()", "limits nothing"),
        ("Budget(calls=0)", "calls=0; give an integer >= 1"),
        ("Budget(minutes=float('nan'))", "minutes=nan"),
        ("Budget(metric='cost')", "go together"),
        ("5", "budget=5; give Budget"),
    ],
)
def test_wrong_budgets(project, budget, told):
    """The message says what to give."""
    project.write(source(f"budget={budget}"))
    result = project.run()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)
    assert told in " ".join(result.stdout.str().split())


@pytest.mark.parametrize(
    "text", ["calls", "calls=1.5", "cost=1,price=2", "calls=1,calls=2", "=3", "minutes=-1"]
)
def test_wrong_options(project, text):
    """So is what the command line says."""
    result = project.run(f"--crystallize-budget={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
