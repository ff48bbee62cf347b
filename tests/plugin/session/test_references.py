"""References under pytest: hypotheses against what ``--crystallize-save`` wrote."""

import json
import re

import pytest

from plugin.session.conftest import EXPECTED, FILE, SAVE, references, values

# The story: a change is tested against the results of an earlier commit.

STORY = """
def claims():
    return [
        Hypothesis(
            metric="hits", direction="no_decrease", margin=0.2, against=Reference("main"), name="no_fewer"
        )
    ]

def declared(function):
    mark = pytest.mark.experiment(replicates=20, treatments={"larger": {"room": 1.0}}, hypotheses=claims())
    return mark(function)

@declared
def experiment_same(rng, room=0.0):
    return {"hits": rng.normal() + room}

@declared
def experiment_harmless(rng, room=0.0):
    return {"hits": rng.normal() + room - LITTLE * rng.uniform(0.5, 1.5)}

@declared
def experiment_harmful(rng, room=0.0):
    return {"hits": rng.normal() + room - MUCH * rng.uniform(0.5, 1.5)}

@declared
def experiment_noisy(rng, room=0.0):
    return {"hits": rng.normal() + room + NOISE * rng.normal()}
"""


def told(result):
    """Return (experiment, condition, verdict) of each line of the tables."""
    found, name = set(), ""
    for line in result.stdout.str().split(" experiments ")[1].splitlines():
        if heading := re.match(r"experiment_a\.py::experiment_(\w+): ", line):
            name = heading[1]
        if row := re.match(r"    (\w+) .*  ([A-Z]{7,})\*?$", line):
            found.add((name, row[1], row[2]))
    return found


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_change_is_tested_against_an_earlier_commit(project, suite, workers):
    """What is harmless passes, what does harm is refuted, and what can't be told fails, too."""
    project.git("init", "-q")
    project.write("LITTLE = MUCH = NOISE = 0.0\n" + STORY)
    project.git("add", "experiment_a.py")
    project.git("commit", "-qm", "one")
    commit = project.git("rev-parse", "HEAD")

    run = project.run if workers == "0" else project.run_workers
    result = run("-p", "no:cacheprovider", *SAVE)
    result.assert_outcomes(skipped=8)
    written = references(project)
    names = ("harmful", "harmless", "noisy", "same")
    assert written == [f"references/main/experiment_a/experiment_{name}.json" for name in names]
    for name in written:
        result.stdout.fnmatch_lines([f"saved reference 'main': {name}"])
        data = json.loads((project.path / name).read_text(encoding="utf-8"))
        assert [(recording["commit"], recording["dirty"]) for recording in data["recordings"]] == [
            (commit, False)
        ]
        assert str(project.path) not in (project.path / name).read_text(encoding="utf-8")
    project.git("add", "references")
    project.git("commit", "-qm", "two")

    project.write("LITTLE, MUCH, NOISE = 0.1, 0.5, 1.0\n" + STORY)
    paths = [f"out/report{suffix}" for suffix in (".json", ".md", ".html")]
    result = run("-v", *(f"--crystallize-report={path}" for path in paths))
    result.assert_outcomes(passed=4, failed=4)
    reports = [(project.path / path).read_text(encoding="utf-8") for path in paths]
    verdicts = {
        (experiment["name"].removeprefix("experiment_"), test["treatment"], test["verdict"]["status"].upper())
        for experiment in json.loads(reports[0])["experiments"]
        for test in experiment["tests"]
    }
    for text in reports[1:]:
        for shown in ("experiment_harmful", "hits changes by more than the margin 0.2: difference -0."):
            assert shown in text
    words = told(result)
    assert words == {
        (name, condition, word)
        for name, word in (
            ("same", "SUPPORTED"),
            ("harmless", "SUPPORTED"),
            ("harmful", "REFUTED"),
            ("noisy", "INCONCLUSIVE"),
        )
        for condition in ("baseline", "larger")
    }
    assert verdicts == words
    result.stdout.fnmatch_lines(
        [
            "REFUTED: hits changes by more than the margin 0.2: difference -0.*, 90 % interval [[]-*, -*]",
            "  hits: reference 'main' *, baseline *, difference -0.* [[]-0.*, -0.*]",
            "  p of the opposite = * (alpha 0.05), n = 20, paired t",
            "  speaks of seeds of this data set",
            f"  reference 'main' was recorded with 20 replicates of root seed 0 at commit {commit[:12]} on *",
        ],
        consecutive=True,
    )
    result.stdout.fnmatch_lines(
        [
            "  no_fewer (hits) against reference main (recorded with 20 replicates of root",
            f"    seed 0 at commit {commit[:12]} on 20*): paired t*",
        ],
        consecutive=True,
    )
    assert project.git("status", "--short", "references") == ""


# Missing evidence.

FAULTS = {
    "missing": ({}, "there is no reference 'main': references/main/experiment_a/experiment_total.json is *"),
    "corrupt": (
        {},
        "references/main/experiment_a/experiment_total.json is no reference: it is*Expecting*restore*",
    ),
    "seed": (
        {"keywords": {"seed": 1}},
        "recorded with 20 replicates of root seed 0*its replicate 0 has seed",
    ),
    "replicates": ({"replicates": 10}, "recorded with 20 replicates of root seed 0*replicates are 10; to*"),
    "metric": ({"metric": "sum"}, "metric 'total' is missing in replicate 0 of *recorded there: 'sum'"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_can_not_be_compared_fails(project, suite, saved, request, changes, reason):
    """Nothing is skipped, xfail covers none of it, and no command is shown that would record it today."""
    kind = request.node.callspec.id
    if kind == "missing":
        saved.unlink()
    if kind == "corrupt":
        saved.write_text(saved.read_text()[:100].replace('"', "<"))
    suite(**changes, others=EXPECTED)
    result = project.run()
    result.assert_outcomes(failed=6)
    shown = [line for line in result.stdout.lines if line.startswith("INVALID: ")]
    assert len(shown) == 6
    result.stdout.fnmatch_lines([f"INVALID: *{reason}*"])
    assert "pytest --crystallize" not in result.stdout.str()
    assert str(project.path) not in "".join(shown)


@pytest.mark.slow
def test_conditions_that_come_and_go_fail(project, suite, saved):
    """One that is gone has its test still; a new one can be recorded alone."""
    suite(treatments={"boost": {"delta": 1.0}, "new": {}}, others=EXPECTED)
    result = project.run()
    result.assert_outcomes(passed=2, failed=4, xpassed=2)
    shown = result.stdout.str()
    assert shown.count("INVALID: reference 'main' has no condition 'new'") == 2
    assert shown.count("INVALID: condition 'more' is gone, and reference 'main' was recorded with 20") == 2
    before = values(saved)
    result = project.run("-q", *SAVE, "experiment_a.py::experiment_total::kept[new]")
    result.assert_outcomes(skipped=1)
    after = values(saved)
    assert list(after) == ["baseline", "boost", "more", "new"]
    assert {name: after[name] for name in before} == before
    result = project.run("-k", "kept")
    result.assert_outcomes(passed=3, failed=1)
    project.run("-q", *SAVE)
    assert list(values(saved)) == ["baseline", "boost", "new"]
    project.run("-k", "kept").assert_outcomes(passed=3)


@pytest.mark.slow
def test_a_refuted_claim_may_be_expected(project, suite, saved):
    """Unlike missing evidence."""
    suite(change=" - 1.0", others=EXPECTED)
    project.run("-k", "expected").assert_outcomes(xfailed=3)


@pytest.mark.slow
def test_a_condition_that_is_gone_is_found_with_workers(project, suite, saved):
    """Its test needs no replicate; alone it is run, too."""
    suite(treatments={"boost": {"delta": 1.0}})
    project.run_workers().assert_outcomes(passed=2, failed=1)
    result = project.run("experiment_a.py::experiment_total::kept[more]")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*condition 'more' is gone, and reference 'main' was recorded with 20 replicates*"]
    )


# Options.


@pytest.mark.slow
def test_another_reference_can_be_compared_with(project, suite, saved):
    """By the option, by its ini twin, and by the option in spite of the twin; what is missing fails."""
    suite(change=" - 1.0")
    project.run("-q", "--crystallize-save", "branch").assert_outcomes(skipped=3)
    assert len(references(project)) == 2
    project.run("--crystallize-compare", "branch").assert_outcomes(passed=3)
    project.ini("crystallize_compare = branch")
    project.run().assert_outcomes(passed=3)
    result = project.run("--crystallize-compare", "main")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*against reference main (recorded*"])
    project.ini("crystallize_compare = none")
    result = project.run()
    result.assert_outcomes(failed=3)
    told = (
        "*there is no reference 'none': *.json is not there (of this experiment there are 'branch', 'main');*"
    )
    result.stdout.fnmatch_lines([told])
    result = project.run("--crystallize-compare", "main", "--crystallize-save", "branch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a run that records judges nothing; give one of them*"])


@pytest.mark.slow
def test_a_factory_is_compared_with_another_reference(project, suite):
    """Its hypotheses are against what the option names; the path that the library reads is not used."""
    project.write(
        """
        @pipeline_step()
        def measure(data, ctx):
            return data, {"x": data}

        def experiment_made():
            reference = Reference("main", path="elsewhere.json")
            claim = Hypothesis(metric="x", direction="equal", margin=0.1, against=reference, name="same")
            return Experiment(lambda ctx: ctx.rng.normal(), [measure], hypotheses=[claim], replicates=5)
        """
    )
    project.run("-q", *SAVE).assert_outcomes(skipped=1)
    project.run("-q").assert_outcomes(passed=1)
    project.run("-q", "--crystallize-compare", "none").assert_outcomes(failed=1)


@pytest.mark.parametrize("name", ["../up", "", "a:b", "nul"])
def test_names_that_are_no_directory_are_usage_errors(project, suite, name):
    """On the command line and in the ini file."""
    suite()
    for option in ("--crystallize-save", "--crystallize-compare"):
        result = project.run(f"{option}={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*no name of a reference*give one like 'main'*"])
    if name:
        project.ini(f"crystallize_compare = {name}")
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*ini option crystallize_compare:*no name of a reference*"])


def test_calibration_is_no_reference_and_needs_none(project, suite):
    """A/A tests can't be saved; a claim against a reference is calibrated without it."""
    suite(replicates=5)
    result = project.run(*SAVE, "--crystallize-calibrate", "10")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    project.run("--crystallize-calibrate", "50").assert_outcomes(passed=1)


def test_the_last_failed_are_run_again(project, suite, saved):
    """A test against a reference has a node id like any other."""
    suite(change=" - (condition == 'boost')")
    project.run().assert_outcomes(passed=2, failed=1)
    result = project.run("--lf", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*experiment_total::kept?boost? REFUTED*"])
    suite()
    project.run("--lf").assert_outcomes(passed=1)


def test_without_the_option_nothing_is_written(project, suite, saved):
    """Not even by a comparison that fails."""
    before = saved.stat().st_mtime_ns
    suite(change=" - 1.0")
    project.run()
    assert references(project) == [FILE]
    assert saved.stat().st_mtime_ns == before


def test_collecting_writes_nothing(project, suite):
    """Nor does repeating one replicate."""
    suite()
    project.run("--collect-only", *SAVE)
    project.run("--crystallize-repro", "1:baseline", *SAVE)
    assert references(project) == []


def test_what_does_not_repeat_says_how_often_unchanged_code_passes(project):
    """When it is recorded, and beside each verdict on it: a gate that fails now and then is no surprise."""
    project.write(
        """
        import os
        import pytest
        from crystallize import Hypothesis, Reference

        claims = [
            Hypothesis(metric=name, direction="no_increase", margin=0.5, against=Reference("main"))
            for name in ("seconds", "steps", "errors")
        ]


        def values(ctx, replicate, more=0.0):
            ctx.metrics.add("seconds", 1 + (replicate * 7 % 20) / 10, measured=True)
            for case in range(8):
                ctx.metrics.add("errors", case + (replicate * (case + 3) % 20) / 10 + more, unit=case)
            return {"steps": 1 + (replicate * 3 % 20) / 10 + more}

        @pytest.mark.experiment(replicates=20, hypotheses=claims)
        def experiment_speed(ctx, replicate):
            return values(ctx, replicate)

        @pytest.mark.experiment(replicates=20, hypotheses=claims, repeatable=False)
        def experiment_served(ctx, replicate):
            return values(ctx, replicate)

        @pytest.mark.experiment(replicates=20, hypotheses=claims)
        def experiment_random(ctx, replicate):
            return values(ctx, replicate, int.from_bytes(os.urandom(2), "big") / 2**20)
        """
    )
    told = (
        r"(\w+) does not repeat: unchanged code passes (?:\S+ of 'baseline' )?with a probability of at "
        r"least about 0\.\d+"
    )
    for options in (SAVE, ("-v",)):
        text = " ".join(project.run(*options).stdout.str().split())
        assert sorted(re.findall(told, text)) == ["errors"] * 2 + ["seconds"] * 3 + ["steps"] * 2
