"""References under pytest: what ``--crystallize-save`` writes, and where."""

import json

import pytest

from plugin.session.conftest import FILE, SAVE, references, values

WORKERS = pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])


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


@pytest.mark.slow
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


@pytest.mark.slow
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
