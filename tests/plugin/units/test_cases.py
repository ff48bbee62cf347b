"""Experiments on cases under pytest."""

import json
import os

import pytest

ROWS = [{"id": f"q{i}", "topic": ["a", "b"][i % 2], "level": i / 10} for i in range(12)]

DECLARED = {
    "cases": 'Cases.jsonl("cases.jsonl", id="id")',
    "samples": 2,
    "treatments": {"v2": {"gain": 9.0}},
    "hypotheses": '[Hypothesis(metric="score", direction="increase", name="up")]',
}
SCORE = 'case["level"] + replicate + rng.normal() + gain * rng.uniform()'


def source(
    above="",
    *,
    function="def",
    arguments="case, replicate, rng, gain=0.0",
    lines="pass",
    score=SCORE,
    **declared,
):
    """Return an experiment on the cases of a file, each of which scores higher under a treatment."""
    given = {**DECLARED, **declared}
    declared = ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)
    return f"""
{above}
@pytest.mark.experiment({declared})
{function} experiment_a({arguments}):
    {lines}
    return {{"score": {score}}}
"""


def write_cases(project, rows):
    """Write rows as lines of JSON."""
    project.raw("cases.jsonl", "\n".join(map(json.dumps, rows)))


def written(project, *args):
    """Run the project, and return the experiment of its JSON report."""
    project.run("--crystallize-report=r.json", *args).assert_outcomes(passed=1)
    return project.json("r.json")["experiments"][0]


@pytest.mark.slow
def test_only_what_a_change_of_the_file_concerns_is_run_again(project):
    """A case that is inserted, dropped or moved reruns no other one, and an edited one itself only."""
    project.write(source())
    project.ini("crystallize_cache_verify = 0")
    for rows, new in (
        (ROWS, 12),
        (ROWS, 0),
        ([{**ROWS[0], "level": 5.0}, *ROWS[1:]], 1),
        (ROWS[:0:-1], 0),
        ([{"id": "new/[é]::1", "level": 0}, *ROWS], 1),
    ):
        write_cases(project, rows)
        ahead = project.run("--collect-only").stdout
        found = written(project)
        assert found["condition_runs"] - found["cached"] == 4 * new, rows
        ahead.fnmatch_lines(
            [f"experiment_a: {4 * len(rows)} runs, of which {4 * (len(rows) - new)} are stored"]
        )


def test_edited_cases_are_named(project):
    """Those of which runs of other contents are stored; not new ones, nor any once it was run."""
    project.write(source())
    project.ini("crystallize_cache_verify = 0")
    write_cases(project, ROWS)
    project.run()
    new = {"id": "new", "level": 0}
    write_cases(project, [new, {**ROWS[3], "level": 5.0}, *ROWS[:3], {**ROWS[4], "topic": "c"}, *ROWS[5:]])
    assert "recomputed" not in project.run("--collect-only", "-v").stdout.str()
    result = project.run("-v")
    result.stdout.fnmatch_lines(
        ["  40 of 52 runs from cache", "  recomputed: case 'q3' changed, case 'q4' changed"]
    )
    assert "recomputed" not in project.run("-v").stdout.str()
    write_cases(project, ROWS)
    assert "recomputed" not in project.run("-v").stdout.str()


def test_what_is_stored_is_read_as_often_for_many_claims_as_for_one(project, monkeypatch):
    """Each has a test, and all of them are about the same runs."""
    write_cases(project, ROWS)
    opened, open_file = [], os.open
    monkeypatch.setattr(
        os, "open", lambda path, *args, **kw: opened.append(path) or open_file(path, *args, **kw)
    )
    read = []
    for claims in (1, 6):
        named = [f'Hypothesis(metric="score", direction="increase", name="up {i}")' for i in range(claims)]
        project.write(source(hypotheses=f"[{', '.join(named)}]"))
        project.run().assert_outcomes(passed=claims)
        opened.clear()
        result = project.run()
        result.stdout.fnmatch_lines(["experiment_a: 48 runs, of which 48 are stored"])
        read.append(sum(str(path).endswith(".pack") for path in opened))
    assert read[0] == read[1] > 0


@pytest.mark.slow
def test_workers_give_the_same(project):
    """Whoever runs which sample of which case: digest and verdict are those of one process."""
    write_cases(project, ROWS)
    project.write(source())
    alone = written(project, "-p", "no:cacheprovider")
    result = project.run_workers("--crystallize-report=w.json", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    together = project.json("w.json")["experiments"][0]
    for what in ("digests", "seeds", "tests", "units"):
        assert together[what] == alone[what]


def test_asynchronous_runs_have_their_cases(project):
    """Runs that are under way at the same time give what they give one by one."""
    write_cases(project, ROWS)
    project.write(source())
    known = written(project)
    project.write(source("import asyncio", function="async def", lines="await asyncio.sleep(0)"))
    assert written(project)["units"] == known["units"]


def test_samples_are_set_on_the_command_line(project):
    """A number of replicates is refused, with what to say instead."""
    write_cases(project, ROWS)
    project.write(source())
    result = project.run("--crystallize-replicates=3")
    result.stdout.fnmatch_lines(["*run on 12 cases, not on a number of replicates*--crystallize-samples=3*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert written(project, "--crystallize-samples=3")["planned"] == 36
    result = project.run("--crystallize-plan")
    result.stdout.fnmatch_lines(["*--crystallize-plan has no number to plan*"])


FACTORY = """
    @pipeline_step()
    def scored(data, ctx, *, gain=0.0):
        return data, {"score": data["level"] + ctx.rng.normal() + gain * ctx.rng.uniform()}

    def experiment_f():
        return Experiment(lambda ctx: ctx["case"], [scored], cases=Cases.jsonl("cases.jsonl"), samples=2,
            treatments={"v2": {"gain": 9.0}}, hypotheses=[Hypothesis(metric="score", direction="increase")])

    @pytest.mark.experiment(cases=Cases.jsonl("cases.jsonl"), samples=2, treatments={"v2": {"gain": 9.0}},
        hypotheses=[Hypothesis(metric="score", direction="increase", slices=True)], slices="topic")
    class TestMarked:
        @pytest.mark.parametrize("shift", [0, 1])
        def experiment_m(self, case, rng, shift, gain=0.0):
            return {"score": case["level"] + shift + rng.normal() + gain * rng.uniform()}
"""


def test_factories_parameters_and_slices(project):
    """Each parameter set is run on all cases; a test per slice is selected by -k like any other."""
    write_cases(project, ROWS)
    project.write(FACTORY)
    result = project.run("--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == [
        "experiment_a.py::experiment_f::score_increase[v2]",
        "experiment_a.py::TestMarked::experiment_m::score_increase[0-v2 in a]",
        "experiment_a.py::TestMarked::experiment_m::score_increase[0-v2 in b]",
        "experiment_a.py::TestMarked::experiment_m::score_increase[1-v2 in a]",
        "experiment_a.py::TestMarked::experiment_m::score_increase[1-v2 in b]",
    ]
    project.run("-k", "experiment_f or (experiment_m and b)").assert_outcomes(passed=3, deselected=2)


def test_calibration_on_cases(project):
    """A/A tests compare other samples of the same cases."""
    write_cases(project, ROWS)
    project.write(source())
    result = project.run("--crystallize-calibrate=20", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*20 A/A tests of 24 and 24 replicates*"])


def test_a_saved_reference_pairs_by_id(project):
    """What was recorded of a case is compared with it, wherever it stands in today's file."""
    write_cases(project, ROWS)
    claim = 'Hypothesis(metric="score", direction="no_decrease", margin=1.0, against=Reference("main"))'
    project.write(source(hypotheses=f"[{claim}]"))
    project.run("--crystallize-save=main")
    write_cases(project, ROWS[::-1])
    project.run("-k", "baseline").assert_outcomes(passed=1, deselected=1)
    write_cases(project, [*ROWS[1:], {"id": "z", "level": 1}])
    result = project.run("-k", "baseline")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*INVALID*case 'q0' is in*case 'z' is in*"])


def test_cases_changed_by_the_metric_that_is_claimed(project):
    """A metric may be called as passes are; of the ratio of two there is nothing to say of a case."""
    write_cases(project, ROWS[:6])
    project.write("""
        def claim(metric, name):
            return Hypothesis(metric=metric, direction="increase", name=name)

        @pytest.mark.experiment(
            cases=Cases.jsonl("cases.jsonl"), samples=2, treatments={"v2": {"gain": 1.0}},
            hypotheses=[
                claim("tests pass", "a"), claim("a pass@2", "b"), claim(PassAt(2), "c"),
                claim(PassAll(2, "tests pass"), "d"), claim(Ratio("a pass@2", "correct"), "e"),
            ],
        )
        def experiment_a(case, gain=0.0):
            better = 1 if gain or case["id"] == "q0" else 0
            return {"tests pass": better, "a pass@2": better if case["id"] != "q5" else -gain, "correct": 1}
    """)
    told = [line.strip() for line in project.run("--crystallize-report=r.md").outlines if " the same" in line]
    assert told == [
        "tests pass [v2]: 0 cases got worse, 5 better, 1 the same",
        "a pass@2 [v2]: 1 case got worse, 4 better, 1 the same",
        "correct [v2]: 0 cases got worse, 0 better, 6 the same",
    ]
    text = (project.path / "r.md").read_text(encoding="utf-8")
    assert "without a value" not in text
    assert "<summary>The one that got worse: a pass&#64;&#8288;2 " in text


def test_reports_name_cases(project):
    """Which got worse, with what was noted of them under both conditions, in every format."""
    write_cases(project, [*ROWS[:6], {"id": "<b>|x", "topic": "a", "level": 9.0}])
    project.write("""
        @pytest.mark.experiment(
            cases=Cases.jsonl("cases.jsonl"), slices="topic", treatments={"v2": {"gain": 1.0}},
            hypotheses=[Hypothesis(metric="score", direction="no_decrease", margin=30.0, name="h",
                                   nan_policy="omit", max_missing=1)],
        )
        def experiment_a(case, ctx, condition, gain=0.0):
            ctx.note("answer", f"{condition} of {case['id']}")
            if case["id"] == "q3" and gain:
                raise ValueError("refused")
            change = -case["level"] if case["id"] in ("q1", "<b>|x") else 1 if case["id"] == "q2" else 0
            return {"score": case["level"] + gain * change}
    """)
    names = ("html", "md", "json")
    result = project.run("-v", *(f"--crystallize-report=r.{name}" for name in names))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([
        "*experiment_a: 7 cases of 2 conditions*",
        "  score [[]v2[]]: 2 cases got worse, 1 better, 3 the same, 1 without a value",
        "*'<b>|x': 9 -> 0; answer: 'baseline of <b>|x' -> 'v2 of <b>|x'",
        "*'q1': 0.1 -> 0;*",
        "*'q3': failed under 'v2': ValueError: refused",
        "  h [[]v2[]] in a: *n = 4",
    ])  # fmt: skip
    page, text = ((project.path / f"r.{name}").read_text(encoding="utf-8") for name in names[:2])
    assert '<tr class="worse"><th scope="row">&lt;b&gt;|x</th><td>a</td><td>9</td><td>0</td>' in page
    assert "worse (2)" in page
    assert '<tr class="failed"><th scope="row">q3</th>' in page
    assert "<details><summary>All 2 that got worse: score &#91;v2&#93;</summary>" in text
    assert "v2 of &#60;b&#62;&#124;x" in text
    units = {unit["id"]: unit for unit in project.json("r.json")["experiments"][0]["units"]}
    assert list(units) == [*(row["id"] for row in ROWS[:6]), "<b>|x"]
    assert units["q1"]["conditions"]["v2"] == {
        "metrics": {"score": 0.0},
        "notes": {"answer": ["v2 of q1"]},
        "errors": [],
    }
    assert units["q3"]["conditions"]["v2"]["errors"] == ["ValueError: refused"]
    again = project.run("-v", "--crystallize-report=again.json")
    again.stdout.fnmatch_lines(["*from cache*", "*'q1': 0.1 -> 0; answer: *"])


def test_failures_name_the_case(project):
    """So does what is missing of a verdict."""
    write_cases(project, ROWS)
    project.write(source(lines='assert case["id"] != "q7"'))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*INVALID: 1 of 12 cases of 'baseline' are missing: case 'q7' failed*"])
    result.stdout.fnmatch_lines(
        ["case 'q7', sample 0 of 'baseline', seed *", "and 1 more in the same way: case 'q7', sample 1"]
    )


NO_DECREASE = '[Hypothesis(metric="score", direction="no_decrease", margin=0.5)]'
INCREASE = '[Hypothesis(metric="score", direction="increase")]'
POLICIES = [
    (NO_DECREASE, "nan_policy='worst', or 'omit' with max_missing="),
    (INCREASE, "nan_policy='omit' with max_missing="),
    ("[Hypothesis(verify, name='own')]", None),
]
VERIFIER = "def verify(baseline, treatment):\n    return {'p_value': 0.0, 'significant': True}\n"


@pytest.mark.parametrize(("hypotheses", "policies"), POLICIES)
def test_what_a_claim_can_do_without_a_case_is_said_of_that_claim(project, hypotheses, policies):
    """Only what it takes is advised, and nothing where there is no claim."""
    write_cases(project, ROWS)
    project.write(source(VERIFIER, lines='assert case["id"] != "q7"', hypotheses=hypotheses))
    result = project.run()
    result.assert_outcomes(failed=1)
    (line,) = (each for each in result.outlines if "of 'baseline' are missing: case 'q7'" in each)
    advised = line.partition("; to judge the others: ")[2]
    assert advised == (policies or "")


def test_where_every_case_failed_there_are_no_others_to_judge(project):
    """The experiment is to be mended, and no policy to be changed."""
    write_cases(project, ROWS)
    project.write(source(lines="raise ValueError", hypotheses=NO_DECREASE))
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*INVALID: 12 of 12 cases of 'baseline' are missing: case *"])
    result.stdout.no_fnmatch_line("*to judge the others*")


def test_a_new_root_seed_makes_no_new_cases(project):
    """Where the samples are cases, what is advised against is to add cases."""
    write_cases(project, ROWS)
    project.write(source(score="gain / 8 * rng.normal()", hypotheses=INCREASE))
    result = project.run()
    result.assert_outcomes(failed=1)
    told = "to add cases and look again spends alpha again: plan more on other cases than these"
    result.stdout.fnmatch_lines([f"*{told}"])


WITHOUT_CASE = {"arguments": "rng, gain=0.0", "score": "gain"}
FIXTURE = "@pytest.fixture\ndef case():\n    return 1\n"
WRONG = [
    (WITHOUT_CASE, "experiment_a never sees its case: add the argument 'case'"),
    ({"cases": None, "samples": None, "replicates": 2}, "asks for 'case', and declares no cases"),
    ({"replicates": 3}, "say by samples="),
    ({"samples": 0}, "samples=0; a number of samples is an integer >= 1"),
    (
        {"treatments": {"v2": {"case": 1}}, "arguments": "case, replicate, rng, ctx", "score": "1"},
        "sets the key 'case'",
    ),
    ({"arguments": "replicate, rng, gain=0.0, case=None"}, "argument 'case' has a default"),
    ({"above": FIXTURE}, "hides the one of crystallize"),
    ({"above": '@pytest.mark.parametrize("case", [1])'}, "parameter 'case' hides the fixture"),
    ({"cases": 'Cases.jsonl("cases.jsonl", id="nr")'}, "cases.jsonl, line 1 has no key 'nr'"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG)
def test_wrong_declarations(project, changes, told):
    """Each is an error of collection that says what to do."""
    write_cases(project, ROWS)
    project.write(source(**changes))
    result = project.run()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)
    assert told in " ".join(result.stdout.str().split())


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ('Cases.jsonl("cases.jsonl")', "cases.jsonl, line 2 is no JSON object: Expecting value*"),
        ('Cases.csv("none.csv")', "the cases of 'none.csv' can't be read: No such file or directory*"),
        ('Treatment.from_file("none.json")', "the treatments of 'none.json' can't be read: *"),
        ('Treatment.from_file("twice.json")', "*twice.json, which declares 'v2' twice; *"),
    ],
)
def test_a_file_of_declarations_that_is_wrong_is_told_by_one_line(project, declared, told):
    """At the line that names it; how it was read is nobody's concern."""
    project.raw("cases.jsonl", '{"id": 1}\n{"id": \n')
    project.raw("twice.json", '{"v2": {"gain": 1}, "v2": {"gain": 2}}')
    project.write(f"DECLARED = {declared}\n")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["experiment_a.py:*: in <module>", f"E   *DefinitionError: {told}"])
    assert sum(line.startswith("E ") for line in result.outlines) == 1


def test_fixtures_named_case_elsewhere_are_anybodys(project):
    """Where no cases are declared, the name is free: for fixtures, and for parameters."""
    project.write("""
        @pytest.fixture
        def case():
            return 3

        @pytest.mark.experiment(replicates=2)
        def experiment_own(case):
            return {"score": case}

        @pytest.mark.experiment(replicates=2)
        @pytest.mark.parametrize("case", [1, 2])
        def experiment_parameter(case):
            return {"score": case}
    """)
    project.run().assert_outcomes(passed=3)


@pytest.mark.slow
def test_workers_that_read_other_cases_give_no_verdict(project):
    """A file that changes while a session begins: records of its processes are not mixed."""
    project.write("""
        rows = [{"id": str(i), "of": os.environ.get("PYTEST_XDIST_WORKER", "")} for i in range(40)]

        @pytest.mark.experiment(cases=Cases(rows), treatments={"v2": {"gain": 1}},
            hypotheses=[Hypothesis(metric="m", direction="increase", name=str(i)) for i in range(8)])
        def experiment_a(case, rng, gain=0):
            return {"m": gain + rng.normal() + len(case)}
    """)
    result = project.run_workers()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*<40 cases of Cases> are others in gw*run it again*"])
