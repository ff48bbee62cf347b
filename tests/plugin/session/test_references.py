"""References under pytest: ``--crystallize-save``, and hypotheses against what it wrote."""

import json
import re
import sys

import pytest

SOURCE = """
@pytest.mark.experiment(
    replicates={replicates},
    treatments={treatments},
    hypotheses=[
        Hypothesis(
            metric="total", direction="no_decrease", margin=0.2, against=Reference("main"), name="kept"
        ),
        *{others},
    ],
    **{keywords},
)
def experiment_total(rng, replicate, condition, delta=0.0, noise=0.0):
    value = rng.normal() + delta
    {body}
    return {{"{metric}": value{change}}}
"""
EXPECTED = """[pytest.param(
    Hypothesis(metric="total", direction="equal", margin=0.2, against=Reference("main"), name="expected"),
    marks=pytest.mark.xfail(reason="known"),
)]"""
DEFAULTS = {
    "replicates": 20,
    "treatments": {"boost": {"delta": 1.0}, "more": {"delta": 2.0}},
    "others": [],
    "keywords": {},
    "body": "",
    "metric": "total",
    "change": "",
}
FILE = "references/main/experiment_a/experiment_total.json"
SAVE = ("--crystallize-save", "main")

WORKERS = pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])


@pytest.fixture
def suite(project, monkeypatch):
    """Return a function that writes an experiment; edited within a second, it is not taken from a cache."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return lambda **changes: project.write(SOURCE.format(**{**DEFAULTS, **changes}))


@pytest.fixture
def saved(suite, project):
    """Record the experiment as it is by default."""
    suite()
    project.run("-q", *SAVE).assert_outcomes(skipped=3)
    return project.path / FILE


def values(path):
    """Return what a reference file holds: condition -> metric -> values."""
    return {
        name: {metric: held["values"] for metric, held in condition["metrics"].items()}
        for recording in json.loads(path.read_text(encoding="utf-8"))["recordings"]
        for name, condition in sorted(recording["conditions"].items())
    }


def references(project):
    """Return the files below ``references`` anywhere, as the project sees them."""
    found = (path.relative_to(project.path).as_posix() for path in project.path.rglob("*.json"))
    return sorted(path for path in found if ".pytest_cache" not in path)


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
    "corrupt": ({}, "references/main/experiment_a/experiment_total.json is no reference: Expecting*restore*"),
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


# What is written.


def test_a_partial_selection_updates_what_ran(project, suite, saved):
    """Conditions that were not selected stay as they were, and nothing is deleted."""
    before = values(saved)
    suite(change=" + 1.0")
    project.run("-k", "boost", *SAVE).assert_outcomes(skipped=1, deselected=2)
    after = values(saved)
    assert after["boost"] != before["boost"]
    assert {**after, "boost": 0} == {**before, "boost": 0}


def test_what_runs_for_the_family_alone_is_not_updated(project, suite, saved):
    """A correction needs every condition; the selected test is about one."""
    better = '[Hypothesis(metric="total", direction="increase", name="better", against=Reference("main"))]'
    before = values(saved)
    suite(change=" + 1.0", others=better)
    project.run("-k", "better and boost", *SAVE).assert_outcomes(skipped=1, deselected=5)
    after = values(saved)
    assert after["boost"] != before["boost"]
    assert {**after, "boost": 0} == {**before, "boost": 0}


def test_a_partial_selection_of_other_replicates_is_refused(project, suite, saved):
    """The conditions of one file are of the same replicates."""
    before = saved.read_bytes()
    result = project.run("-k", "boost", *SAVE, "--crystallize-seed", "5")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_total: only 'boost' ran*"])
    assert saved.read_bytes() == before


OTHER = """
@pytest.mark.experiment(replicates=3)
def experiment_other(rng):
    return {"x": rng.normal()}
"""


@pytest.mark.parametrize("quiet", [(), ("-q",)], ids=["plain", "quiet"])
def test_a_failed_replicate_is_not_saved(project, suite, saved, quiet):
    """The file stays, the session fails and says why, and other experiments are saved."""
    before = saved.read_bytes()
    suite(body="assert (replicate, condition) != (3, 'boost'), 'bad luck'")
    with (project.path / "experiment_a.py").open("a") as file:
        file.write(OTHER)
    result = project.run(*SAVE, *quiet)
    result.assert_outcomes(passed=1, failed=1, skipped=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*bad luck*", "NOT SAVED: experiment_total: 1 of 20 replicates of 'boost' are*"]
    )
    assert saved.read_bytes() == before
    assert references(project) == ["references/main/experiment_a/experiment_other.json", FILE]


@pytest.mark.slow
@WORKERS
def test_an_interrupted_session_saves_only_what_is_whole(project, suite, saved, workers):
    """What was not run to its end stays as it was."""
    before = saved.read_bytes()
    suite(change=" + 1.0", body="if replicate == 15: raise KeyboardInterrupt")
    result = project.run_apart("-n", workers, *SAVE)
    assert result.ret in (1, 2)
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_total: *"])
    assert saved.read_bytes() == before
    assert references(project) == [FILE]


def test_no_torn_or_other_file_is_left(saved):
    """Beside the file there is nothing."""
    assert list(saved.parent.iterdir()) == [saved]


def test_a_directory_that_can_not_be_written_fails_the_session(project, suite):
    """And names it as the project sees it."""
    suite()
    project.raw("references", "in the way")
    result = project.run(*SAVE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_*: references*", "*can't be written: *"])
    assert str(project.path) not in "".join(result.stdout.lines[-5:])


def test_what_is_skipped_is_not_saved_and_fails_nothing(project, suite):
    """By a mark, in a run, or as a treatment that is switched off."""
    project.write(
        """
        @pytest.mark.skip(reason="not today")
        @pytest.mark.experiment(replicates=2)
        def experiment_marked():
            return {"x": 1.0}

        @pytest.mark.experiment(replicates=2)
        def experiment_running():
            pytest.skip("no data")
        """
    )
    result = project.run(*SAVE)
    result.assert_outcomes(skipped=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["experiment_marked was skipped*", "experiment_running was skipped*"])
    assert references(project) == []


def test_a_treatment_that_is_switched_off_stays_in_the_file(project, suite, saved):
    """As with any partial selection."""
    before = values(saved)
    project.run("-q", *SAVE, "--crystallize-disable", "more")
    assert values(saved) == before


STOPPING = {"keywords": "dict(stopping=GroupSequential())", "replicates": 100, "body": "value += noise"}


@WORKERS
def test_what_is_saved_is_run_to_its_end(project, suite, workers):
    """Also where it would be stopped early, as it is when it is compared."""
    suite(**STOPPING)
    run = project.run if workers == "0" else project.run_workers
    run(*SAVE).assert_outcomes(skipped=3)
    (recording,) = json.loads((project.path / FILE).read_text())["recordings"]
    assert len(recording["seeds"]) == 100
    assert {len(metrics["total"]) for metrics in values(project.path / FILE).values()} == {100}
    suite(**STOPPING, change=" - 2.0 * rng.uniform(0.5, 1.5)")
    result = run()
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*: stopped at * of 100 replicates of 3*", "*REFUTED"])


def test_other_options_of_early_stopping(project, suite):
    """--crystallize-early-stop does not stop what is saved."""
    suite(replicates=60)
    project.run("-q", *SAVE, "--crystallize-early-stop")
    (recording,) = json.loads((project.path / FILE).read_text())["recordings"]
    assert len(recording["seeds"]) == 60


# Names.


@pytest.mark.slow
def test_every_experiment_has_a_file_of_its_own(project, suite):
    """Whatever its parameters are called; each is compared with its own past, and none leaves its place."""
    ids = ["a b", "[x]", "größe", "../../up", "x::y", "x.y", "a/b", "é" * 300, "con", "50%", "nul.json", "-"]
    project.write(
        f"""
        MARK = dict(
            replicates=6,
            hypotheses=[
                Hypothesis(metric="x", direction="equal", margin=0.1, against=Reference("main"), name="same")
            ],
        )

        @pytest.mark.parametrize("shift", {list(range(len(ids)))!r}, ids={ids!r})
        @pytest.mark.experiment(**MARK)
        def experiment_many(rng, shift):
            return {{"x": rng.normal() + 10 * shift}}

        @pytest.mark.experiment(**MARK)
        class TestGroup:
            class TestInner:
                def experiment_deep(self, rng):
                    return {{"x": rng.normal()}}

            def experiment_deep(self, rng):
                return {{"x": rng.normal() + 7}}
        """
    )
    count = len(ids) + 2
    result = project.run("-q", *SAVE)
    result.assert_outcomes(skipped=count)
    assert result.ret == 0
    written = references(project)
    assert len(written) == count
    assert all(path.startswith("references/main/experiment_a/") for path in written)
    assert all(path.count("/") == 3 for path in written)
    assert "references/main/experiment_a/TestGroup.TestInner.experiment_deep.json" in written
    assert "references/main/experiment_a/experiment_many[a b].json" in written
    project.run("-q").assert_outcomes(passed=count)


def test_two_experiments_of_one_file_are_refused(project, suite):
    """Where upper and lower case are the same, one would replace the other."""
    project.write(
        """
        @pytest.mark.parametrize("shift", [1, 2], ids=["A", "a"])
        @pytest.mark.experiment(replicates=3)
        def experiment_x(rng, shift):
            return {"x": rng.normal() + shift}
        """
    )
    result = project.run(*SAVE)
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT SAVED: experiment_x?a? would have the file of experiment_x?A?*"])
    assert references(project) == ["references/main/experiment_a/experiment_x[A].json"]


def test_a_graph_has_a_file_for_each_experiment(project, suite):
    """Upstream and downstream; the hypotheses of both are compared, also with another reference."""
    project.write(
        """
        def claim():
            return Hypothesis(
                metric="x", direction="equal", margin=0.001, against=Reference("main"), name="same"
            )

        @pipeline_step()
        def first(data, ctx, *, delta=0.0):
            ctx.artifacts.add("x", b"1")
            return data, {"x": data + delta}

        @pipeline_step()
        def second(data, ctx):
            return data, {"x": float(data) + ctx.replicate}

        def experiment_graph():
            x = Artifact("x")
            up = Experiment(
                lambda ctx: ctx.rng.normal(), [first], name="up", outputs=[x], hypotheses=[claim()],
                treatments=[Treatment("t", {"delta": 1.0})], replicates=6,
            )
            down = Experiment(x, [second], name="down one", hypotheses=[claim()], replicates=6)
            return ExperimentGraph(up, down)
        """
    )
    result = project.run(*SAVE)
    assert result.ret == 0
    directory = "references/main/experiment_a"
    assert references(project) == [
        f"{directory}/experiment_graph.down one.json",
        f"{directory}/experiment_graph.up.json",
    ]
    result = project.run()
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] >= 3
    result = project.run("--crystallize-compare", "none")
    assert result.parseoutcomes()["failed"] >= 3
    result.stdout.fnmatch_lines(["INVALID: there is no reference 'none'*"])


def test_files_of_one_stem_in_two_directories(project, suite):
    """Each has its references beside it, and messages name the file."""
    suite(replicates=5)
    text = (project.path / "experiment_a.py").read_text()
    for directory in ("one", "two two"):
        project.raw(f"{directory}/experiment_a.py", text)
    (project.path / "experiment_a.py").unlink()
    project.run("--import-mode=importlib", "-q", *SAVE).assert_outcomes(skipped=6)
    assert references(project) == [f"one/{FILE}", f"two two/{FILE}"]
    project.run("--import-mode=importlib", "-q").assert_outcomes(passed=6)
    (project.path / "two two" / FILE).unlink()
    result = project.run("--import-mode=importlib", "-q")
    result.assert_outcomes(passed=3, failed=3)
    result.stdout.fnmatch_lines([f"*there is no reference 'main': two two/{FILE} is not there*"])


# Options.


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
    result.stdout.fnmatch_lines(["*there is no reference 'none'*"])
    result = project.run("--crystallize-compare", "main", "--crystallize-save", "branch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a run that records judges nothing; give one of them*"])


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
