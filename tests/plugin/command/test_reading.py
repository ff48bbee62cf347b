"""`crystallize show` and `crystallize compare`: what sessions have left, read and judged again."""

import json

import pytest

from crystallize import Experiment, Hypothesis, pipeline_step
from plugin.conftest import body, edited, mark
from pytest_crystallize.command.main import main

CLAIMS = """[
    Hypothesis(metric="total", direction="increase"),
    Hypothesis(metric="total", direction="no_decrease", margin=0.5, name="safe"),
    Hypothesis(metric="total", direction="increase", against=0.0, name="positive"),
    Hypothesis(metric="took", direction="no_increase", margin=5.0, name="quick"),
    Hypothesis(verifier=lambda a, b: {"significant": True, "p_value": 0.01}, metrics="total",
               name="verified"),
]"""
SUITE = (
    mark(replicates=20, hypotheses=CLAIMS)
    + """
def experiment_total(rng, ctx, delta=0.0):
    ctx.metrics.add("took", rng.random(), measured=True)
    ctx.metrics.add("odd", float("nan") if ctx.replicate == 3 else 0.1 + 0.2)
    return {"total": 1 + rng.normal() + delta * rng.uniform(0.5, 1.5)}
"""
)


REFERENCE = "references/main/experiment_a/experiment_total.json"
FAILED = {
    "condition": "boost",
    "replicates": [3, 4],
    "seed": 1,
    "step": "experiment_total",
    "error": "ValueError",
    "traceback": "",
    "command": "",
}
_MADE = {}


@pytest.fixture
def reports(project):
    """Return a project with reports of two sessions, between which the total of the treatment has changed."""
    if not _MADE:
        _MADE.update(_made(project))
    for name, text in _MADE.items():
        project.raw(name, text)
    return project


def _made(project):
    path = project.write(SUITE)
    project.run("-p", "no:cacheprovider", "--crystallize-report=then.json", "--crystallize-save=main")
    project.run("-p", "no:cacheprovider", "--crystallize-report=then.json")
    path.write_text(edited(path.read_text(), '"delta": 3.0', '"delta": 4.0'))
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    names = "experiment_a.py", "then.json", "now.json", REFERENCE
    return {name: (project.path / name).read_text() for name in names}


def run(project, monkeypatch, capsys, *arguments):
    monkeypatch.chdir(project.path)
    code = main(arguments)
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


def test_claims_are_judged_against_another_session(reports, monkeypatch, capsys):
    """As a reference would be: each condition against itself; what can't be compared does not pass."""
    for then in ("then.json", REFERENCE):
        code, out = run(reports, monkeypatch, capsys, "compare", "now.json", then, "--claim=safe")
        assert code == 0
        assert "boost +1.019" in out
        assert "1 of 1 supported" in out
    code, out = run(reports, monkeypatch, capsys, "compare", "then.json", "now.json", "--claim=safe")
    assert code == 1
    assert "REFUTED safe [boost]: total changes by more than the margin 0.5" in out
    code, out = run(reports, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert code == 1
    assert "2 of 6 supported" in out
    assert "INVALID quick [boost]: 'took' is measured, which no other session repeats" in out
    assert "INVALID verified [boost]: a verifier decides it, which is code" in out
    told = "it compares with 0, not with another session; name the other claims by --claim"
    assert f"INVALID positive [boost]: {told}" in out
    assert "adjusted by Holm" not in out  # one claim of a difference is compared: that of the treatment


MADE_AGAIN = {
    "plain": "",
    "rate": 'metric="ok"',
    "guarded_rate": 'metric="ok", direction="no_decrease", margin=0.3',
    "equal_rate": 'metric="ok", direction="equal", margin=0.9',
    "unpaired": 'metric="ok", pairing="none", direction="no_decrease", margin=0.3',
    "adjusted": 'covariate="usual"',
    "log": "statistical_test=LogRatioTest()",
    "log_at_least": "statistical_test=LogRatioTest(), at_least=0.01, relative=True",
    "wins": "statistical_test=WinRateTest()",
    "ranks": "statistical_test=WilcoxonTest()",
    "fisher": 'metric="ok", statistical_test=FisherExactTest()',
    "equal": 'direction="equal", margin=5',
    "alarm": 'direction="no_decrease", detects=1.0',
}
NOT_MADE_AGAIN = {
    "permuted": "statistical_test=PermutationTest(resamples=999)",
    "trimmed": "statistical_test=YuenTest(trim=0.1)",
    "exact": 'metric="ok", statistical_test=McNemarTest(exact=True)',
    "own": "statistical_test=PermutationTest(statistic=lambda a, b: float(b.mean() - a.mean()))",
    "quantile": "statistical_test=QuantileTest(0.5)",
    "ratio": 'metric=Ratio("x", "usual")',
    "units": 'metric="by_unit"',
}


def test_tests_that_take_no_argument_are_made_again_and_no_others(project, monkeypatch, capsys):
    """Those of yes/no, the default among them, were not; one with an argument was judged without it."""
    declared = "".join(
        f"    dict(name={name!r}, {options}),\n" for name, options in {**MADE_AGAIN, **NOT_MADE_AGAIN}.items()
    )
    project.write(
        "from crystallize import *\n"
        f"KNOWN = [\n{declared}]\n"
        "CLAIMS = [Hypothesis(**{'metric': 'x', 'direction': 'increase', **known}) for known in KNOWN]\n"
        '@pytest.mark.experiment(replicates=40, treatments={"boost": {"a": 0.5}}, hypotheses=CLAIMS)\n'
        "def experiment_many(rng, ctx, replicate, a=0.0):\n"
        "    usual = 5 + rng.normal()\n"
        "    ctx.metrics.add('usual', usual)\n"
        "    ctx.metrics.add('by_unit', usual + a + rng.normal(), unit=str(replicate // 4))\n"
        "    return {'x': usual + a + rng.normal(scale=0.1), 'ok': rng.random() + a > 0.5}\n"
    )
    project.run("--crystallize-report=now.json", "-p", "no:cacheprovider")
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "now.json")
    assert code == 1
    told = {name: f"INVALID {name} [boost]: its test" in out for name in {**MADE_AGAIN, **NOT_MADE_AGAIN}}
    assert told == {**dict.fromkeys(MADE_AGAIN, False), **dict.fromkeys(NOT_MADE_AGAIN, True), "units": False}
    assert "INVALID units [boost]: it speaks of cases, whose values are in no report" in out
    assert out.count("INVALID") == 2 * len(NOT_MADE_AGAIN)  # each in the table, and why


def test_what_is_gone_is_told(reports, monkeypatch, capsys):
    """A condition that only the other session has is of a claim about all; an experiment, a note."""
    then = reports.json("then.json")
    experiment = then["experiments"][0]
    for part in ("samples", "seconds"):
        known = experiment[part]
        for arms in known.values() if part == "samples" else [known]:
            arms["more"] = arms["boost"]
    experiment["conditions"].append("more")
    experiment["tests"] += [
        {**test, "treatment": "more"} for test in experiment["tests"] if test["hypothesis"] == "safe"
    ]
    then["experiments"].append({**experiment, "id": "experiment_a.py::experiment_old"})
    (reports.path / "more.json").write_text(json.dumps(then))
    code, out = run(reports, monkeypatch, capsys, "compare", "now.json", "more.json", "--claim=safe")
    assert code == 1
    assert "INVALID safe [more]: condition 'more' is gone: more.json has it" in out
    assert "1 of 2 supported" in out
    assert "note: more.json has experiment_a.py::experiment_old, which now.json has not" in out
    code, out = run(reports, monkeypatch, capsys, "compare", "more.json", "now.json", "--claim=safe")
    assert code == 1


def test_failed_and_stopped_runs_are_compared_with_nothing(reports, monkeypatch, capsys):
    """In whichever of both sessions they are."""
    for change, message in (
        ({"run": 12}, "a session has 12 of 20 replicates, since it was stopped"),
        ({"failures": [FAILED]}, "2 of 20 replicates of 'boost' failed in a session"),
    ):
        then = reports.json("then.json")
        then["experiments"][0] |= change
        (reports.path / "changed.json").write_text(json.dumps(then))
        for files in (("now.json", "changed.json"), ("changed.json", "now.json")):
            code, out = run(reports, monkeypatch, capsys, "compare", *files, "--claim=safe")
            assert code == 1
            assert f"INVALID safe [boost]: {message}" in out


def test_claims_that_looks_have_decided_leave_the_others_compared(project, monkeypatch, capsys):
    """Looks correct in a way of their own; compared at once, claims are corrected as they were declared."""
    claims = '[Hypothesis(metric="total", direction="increase", name="up")]'
    for name, more in (("looks", "stopping=GroupSequential(), "), ("whole", "")):
        treatments = '{"one": {"delta": 9.0}, "two": {"delta": 8.0}}'
        made = f"@pytest.mark.experiment(replicates=20, {more}treatments={treatments}, hypotheses={claims})\n"
        made += f"def experiment_{name}(rng, delta=0.0):\n    return {{'total': rng.normal() + delta}}\n"
        project.write(made, f"experiment_{name}.py")
    for name in ("then.json", "now.json"):
        project.run(f"--crystallize-report={name}").assert_outcomes(passed=4)
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert code == 1
    assert "since it was stopped" in out
    assert "p adjusted by Holm for 2 claims one" in out


def test_a_claim_against_another_commit_is_one_against_another_session(project, monkeypatch, capsys):
    """Though its own session was told of none, and could not judge it."""
    claim = 'Hypothesis(metric="total", direction="no_decrease", margin=0.5, against=Revision(), name="safe")'
    project.write(mark(replicates=20, hypotheses=f"[{claim}]") + body())
    for name in ("then.json", "now.json"):
        project.run(f"--crystallize-report={name}").assert_outcomes(failed=2)
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert code == 0, out
    assert "2 of 2 supported against then.json" in out


def test_claims_of_no_harm_are_counted_apart(project, monkeypatch, capsys):
    """As reports count them: no harm is shown, and nothing is supported."""
    claim = 'Hypothesis(metric="total", direction="no_decrease", {}=0.5, against=Revision(), name="{}")'
    claims = ", ".join(claim.format(*each) for each in (("margin", "safe"), ("detects", "alarm")))
    project.write(mark(replicates=20, hypotheses=f"[{claims}]") + body())
    for name in ("then.json", "now.json"):
        project.run(f"--crystallize-report={name}").assert_outcomes(failed=4)
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert code == 0, out
    assert out.endswith("2 of 4 supported, 2 with no harm shown, against then.json")


def test_what_is_compared_is_what_a_session_compares(reports, monkeypatch, capsys):
    """The same estimate, interval and p-value as of a claim against the reference."""
    (reports.path / "experiment_a.py").write_text(
        (reports.path / "experiment_a.py")
        .read_text()
        .replace('name="safe"', 'name="safe", against=Reference("main")')
    )
    reports.run("-p", "no:cacheprovider", "--crystallize-report=session.json", "-k", "safe and boost")
    (test,) = reports.json("session.json")["experiments"][0]["tests"]
    reports.run("-p", "no:cacheprovider", "-k", "safe and boost")
    _, out = run(reports, monkeypatch, capsys, "compare", "now.json", "then.json", "--claim=safe")
    assert f"{test['verdict']['difference']:+.4g}" in out
    assert "[{:.3g}, {:.3g}]".format(*test["verdict"]["interval"]) in out


ALL_KINDS = """[
    Hypothesis(metric="ok", direction="increase", against=MAIN, name="mid_p"),
    Hypothesis(metric="ok", direction="no_decrease", margin=0.4, against=MAIN, name="tango"),
    Hypothesis(metric="ok", direction="equal", margin=0.4, against=MAIN, name="tost"),
    Hypothesis(metric="ok", direction="no_decrease", margin=0.4, kind="numeric", against=MAIN, name="number"),
    Hypothesis(metric="ok", direction="differ", pairing="none", against=MAIN, name="boschloo"),
    Hypothesis(metric="ok", direction="no_decrease", margin=0.4, pairing="none", against=MAIN, name="score"),
    Hypothesis(metric="x", direction="differ", pairing="none", against=MAIN, name="welch"),
    Hypothesis(metric="x", direction="differ", statistical_test=WilcoxonTest(), against=MAIN, name="ranks"),
    Hypothesis(metric="x", direction="differ", statistical_test=WinRateTest(), against=MAIN, name="wins"),
    Hypothesis(metric="x", direction="differ", statistical_test=LogRatioTest(), against=MAIN, name="logs"),
    Hypothesis(metric="x", direction="equal", margin=2.0, against=MAIN, name="alike"),
    Hypothesis(metric="one", direction="no_decrease", margin=0.05, worst=0.0, against=MAIN, name="worst"),
    Hypothesis(metric="one", direction="no_decrease", margin=0.05, against=MAIN, name="best"),
]"""


def test_claims_of_every_kind_are_compared_by_the_test_that_they_had(project, monkeypatch, capsys):
    """Those of yes/no were not; others were as what they are not, rates or without their worst."""
    project.write(
        f"MAIN = Reference('main')\n{mark(replicates=15, hypotheses=ALL_KINDS)}"
        "def experiment_total(rng, seed, delta=0.0):\n"
        "    return {'ok': seed % 5 > 0, 'x': rng.lognormal() + delta * MOVED, 'one': 0.9}\n"
        "MOVED = 0.0\n"
    )
    project.run("-p", "no:cacheprovider", "--crystallize-save=main")
    path = project.path / "experiment_a.py"
    path.write_text(edited(path.read_text(), "MOVED = 0.0", "MOVED = 0.2"))
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    tests = [t for t in project.json("now.json")["experiments"][0]["tests"] if t["treatment"] == "boost"]
    assert len(tests) == 13
    capsys.readouterr()  # what the sessions have printed
    _, out = run(project, monkeypatch, capsys, "compare", "now.json", REFERENCE)
    for test in tests:
        verdict = test["verdict"]
        said, row = out.split(f" {test['hypothesis']} (")[1].split(" boost ")[:2]
        assert verdict["test"] in said, test["hypothesis"]
        assert verdict["status"].upper() in row, test["hypothesis"]


@pytest.mark.parametrize("fails", ["boost", "other"])
def test_a_claim_has_its_test_whichever_condition_fails(project, monkeypatch, capsys, fails):
    """A verdict that is invalid names no test; the test of the claim was not made again, or was another."""
    claim = 'Hypothesis(metric="part", direction="increase", name="part", statistical_test=WilcoxonTest())'
    project.write(
        mark(replicates=20, hypotheses=f"[{claim}]", treatments={"boost": {"a": 1}, "other": {"a": 2}})
        + "def experiment_part(rng, ctx, a=0):\n"
        f"    failed = ctx.condition == {fails!r} and ctx.replicate == 3\n"
        "    return {} if failed else {'part': rng.normal() + a}\n"
    )
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    capsys.readouterr()  # what the session has printed
    _, out = run(project, monkeypatch, capsys, "compare", "now.json", "now.json")
    assert "Wilcoxon signed rank over" in out
    assert f"INVALID part [{fails}]: 'part' of '{fails}': value 3 of 20 is missing" in out
    assert out.count("INVALID") == 2  # in the table, and why


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("WilcoxonTest()", "Wilcoxon signed rank over"),
        ("YuenTest(trim=0.1)", "INVALID part [boost]: its test"),
    ],
)
def test_a_claim_without_any_valid_verdict_has_its_test(project, monkeypatch, capsys, test, told):
    """Where the baseline failed, or there was no reference, the treatment was judged by a t test."""
    claim = f'Hypothesis(metric="part", direction="increase", name="part", statistical_test={test})'
    project.write(
        mark(replicates=20, hypotheses=f"[{claim}]") + "def experiment_part(rng, ctx, delta=0.0):\n"
        "    failed = ctx.condition == 'baseline' and ctx.replicate == 3\n"
        "    return {} if failed else {'part': rng.normal() + delta}\n"
    )
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    capsys.readouterr()  # what the session has printed
    _, out = run(project, monkeypatch, capsys, "compare", "now.json", "now.json")
    assert told in out
    assert "paired t" not in out


def test_values_that_only_today_are_all_yes_are_compared_as_numbers(project, monkeypatch, capsys):
    """They are read as yes/no where no session says otherwise; as such those of then are no sample."""
    claim = 'Hypothesis(metric="full", direction="no_decrease", margin=0.4, name="full")'
    path = project.write(
        mark(replicates=20, hypotheses=f"[{claim}]")
        + "def experiment_full(rng, delta=0.0):\n    return {'full': 1 - LEFT * rng.random()}\nLEFT = 0.1\n"
    )
    project.run("-p", "no:cacheprovider", "--crystallize-report=then.json")
    path.write_text(edited(path.read_text(), "LEFT = 0.1", "LEFT = 0.0"))
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    assert project.json("now.json")["experiments"][0]["tests"][0]["verdict"]["test"] == "Tango score"
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert "paired t over" in out
    assert "1 of 1 supported" in out
    assert code == 0


@pytest.mark.parametrize("given", ["YuenTest(trim=0.1)", "PermutationTest(paired=False)", "BootstrapTTest()"])
def test_a_test_that_takes_arguments_is_not_made_without_them(project, monkeypatch, capsys, given):
    """Its name does not say which they were; it was made with those by default."""
    claim = f'Hypothesis(metric="total", direction="differ", statistical_test={given}, name="moved")'
    project.write(mark(replicates=20, hypotheses=f"[{claim}]") + body())
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "now.json")
    assert code == 1
    assert "INVALID moved [boost]: its test," in out
    assert "can't be made again from its name" in out


def test_a_report_is_shown_as_its_session_showed_it(reports, monkeypatch, capsys):
    """Tables, reasons and notes; nothing is judged again."""
    code, out = run(reports, monkeypatch, capsys, "show", "now.json", "-v")
    assert code == 0
    assert "hypotheses supported" in out
    assert "experiment_a.py::experiment_total: 20 replicates of 2 conditions, seed 0" in out
    assert "boost +4.075" in out
    digests = reports.json("now.json")["experiments"][0]["digests"]
    assert f"digest baseline={digests['baseline']} boost={digests['boost']}" in out
    code, out = run(reports, monkeypatch, capsys, "show", REFERENCE)
    assert code == 0
    assert "reference of experiment_total" in out


def test_numbers_of_a_report_come_back_bit_for_bit(reports):
    """Also those that JSON lacks."""
    samples = reports.json("now.json")["experiments"][0]["samples"]["odd"]["baseline"]
    assert samples == [0.1 + 0.2] * 3 + ["nan"] + [0.1 + 0.2] * 16


def test_results_of_the_library_are_shown_and_listed(tmp_path, monkeypatch, capsys):
    """Those that were saved, and those that were kept."""

    @pipeline_step()
    def draw(data, ctx, *, delta=0.0):
        return data, {"x": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

    claim = Hypothesis(metric="x", direction="increase")
    experiment = Experiment(
        0, [draw], name="draws", treatments={"up": {"delta": 3}}, hypotheses=[claim], replicates=9
    )
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 0
    assert "no result is kept" in capsys.readouterr().out
    experiment.run(store_results=True).save("draws.json")
    assert main(["show", "draws.json"]) == 0
    assert "x_increase" in capsys.readouterr().out
    assert main(["show"]) == 0
    assert "draws: 9 replicates, 1 supported" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no file of Crystallize: it is no JSON, or was cut off: Expecting value: line 1 column 1"),
        ('{"a": 1}', "it names none of the formats that are read: a report ('crystallize-report-1', of"),
        (
            '{"schema": "crystallize-report-9"}',
            "is no report: its schema is 'crystallize-report-9'; this version reads 'crystallize-report-1', "
            "which --crystallize-report=report.json writes; update Crystallize",
        ),
        ('{"schema": "crystallize-report-1"}', "is no report: it has no 'arguments'"),
        ('{"format": "crystallize-result-1", "check": ""}', "draws.json"),
        (
            json.dumps({"format": "crystallize-shard-1"}),
            "changed or damaged since it was written; run",
        ),
    ],
)
def test_files_that_are_none_are_told(tmp_path, capsys, text, message):
    """With exit code 2, whatever is wrong with them."""
    path = tmp_path / "draws.json"
    path.write_text(text)
    assert main(["show", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_what_holds_no_claims_is_told(reports, monkeypatch, capsys):
    """A reference first, an experiment that the other lacks, a claim that nobody made."""
    code, out = run(reports, monkeypatch, capsys, "compare", REFERENCE, "now.json")
    assert code == 2
    assert "is a reference; give a report first, which holds the claims" in out
    code, out = run(reports, monkeypatch, capsys, "compare", "now.json", "then.json", "--claim=none")
    assert code == 2
    assert "has no claim 'none'; it has 'positive', 'quick', 'safe', 'total_increase', 'verified'" in out
    other = reports.json("then.json")
    other["experiments"][0]["id"] = "experiment_b.py::experiment_other"
    (reports.path / "other.json").write_text(json.dumps(other))
    code, out = run(reports, monkeypatch, capsys, "compare", "now.json", "other.json", "--claim=safe")
    assert code == 1
    assert "INVALID safe [boost]: other.json has no experiment experiment_a.py::experiment_total" in out


def test_cases_pair_by_their_ids(project, monkeypatch, capsys):
    """In whatever order they are; where one of both lacks a case, nothing is compared."""
    claim = '[Hypothesis(metric="total", direction="no_decrease", margin=0.5, name="safe")]'
    cases = 'Cases([{"id": f"q{i}", "size": i} for i in range(9)], id="id")'
    project.write(
        mark(cases=cases, replicates=None, hypotheses=claim)
        + body(arguments="rng, case", value="case['size'] + delta")
    )
    project.run("-p", "no:cacheprovider", "--crystallize-report=now.json")
    then = project.json("now.json")
    then["experiments"][0]["units"].reverse()
    (project.path / "then.json").write_text(json.dumps(then))
    assert run(project, monkeypatch, capsys, "compare", "now.json", "then.json")[0] == 0
    del then["experiments"][0]["units"][0]
    (project.path / "then.json").write_text(json.dumps(then))
    code, out = run(project, monkeypatch, capsys, "compare", "now.json", "then.json")
    assert code == 1
    assert "INVALID safe [boost]: only one of both has the case 'q8'" in out
