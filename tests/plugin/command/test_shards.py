"""Shards of a suite, each run by a session of its own, and merged."""

import json
import re
import subprocess
import sys

import pytest

from plugin.conftest import body, edited, mark, total
from pytest_crystallize.command.main import main
from pytest_crystallize.records.shards import MergedShards, ShardFile
from pytest_crystallize.session.in_process import IN_PROCESS
from pytest_crystallize.session.sharding import MergingSession

CLAIMS = """[
    Hypothesis(metric="total", direction="increase"),
    Hypothesis(metric="total", direction="no_decrease", margin=1.0, name="safe",
               nan_policy="omit", max_missing=0.3),
]"""
SUITE = (
    mark(replicates=21, hypotheses=CLAIMS, treatments='{"boost": {"delta": 3.0}, "small": {"delta": 0.1}}')
    + body(lines='if seed % 7 == 0: raise ValueError("sevenths")', arguments="rng, seed")
    + total(name="experiment_early", replicates=40, stopping="GroupSequential()")
    + mark(replicates=7, max_concurrency=3)
    + body("experiment_async", lines="import asyncio\nawait asyncio.sleep(0)").replace("def ", "async def ")
    + mark(cases='Cases([{"id": f"q{i}", "size": i} for i in range(9)], id="id")', replicates=None)
    + body(
        "experiment_cases", arguments="rng, case", value="case['size'] / 7 + delta * rng.uniform(0.5, 1.5)"
    )
    + """
weights = Artifact.json("weights.json")

@pipeline_step()
def train(data, ctx, *, rate=1.0):
    fitted = rate * ctx.rng.normal()
    ctx.artifacts.add("weights.json", fitted)
    return data, {"loss": fitted, "odd": float("nan")}

@pipeline_step()
def judge(data, ctx):
    return data, {"final": data * 2 + ctx.rng.normal()}

def experiment_chain():
    return ExperimentGraph(
        Experiment(0, [train], name="train", outputs=[weights], replicates=6,
                   treatments={"fast": {"rate": 5}}),
        Experiment(weights, [judge], name="judge", replicates=6,
                   hypotheses=[Hypothesis(metric="final", direction="increase")]),
    )
"""
)
PLAIN = "-pno:randomly", "-pno:cacheprovider"


def shards(project, number, *args):
    """Run all shards, and return their files."""
    for i in range(1, number + 1):
        result = project.run(*PLAIN, f"--crystallize-shard={i}/{number}", *args)
        assert result.ret == 0
        outcomes = result.parseoutcomes()
        assert set(outcomes) == {"skipped"}
    return [str(project.path / f"crystallize-shard-{i}-of-{number}.json") for i in range(1, number + 1)]


def merge(project, files, *args):
    """Judge shards in this process, as the command does."""
    merged = MergedShards([ShardFile.read(file) for file in files])
    return project.run(*IN_PROCESS, *merged.first.arguments, *args, plugins=[MergingSession(merged)])


def told(project, name):
    """Return what a report holds but for times, and what depends on where runs came from."""
    text = re.sub(r"0x[0-9A-Fa-f]+", "0x", (project.path / name).read_text())  # addresses in tracebacks
    own = ("seconds", "cached", "verified", "command")

    def without(value):
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key not in own}
        return [without(each) for each in value] if isinstance(value, list) else value

    return without(json.loads(text)["experiments"])


def test_four_shards_merged_give_the_verdicts_and_digests_of_one_run(project):
    """Failed runs, corrections, looks, cases, nan and graphs: every number, word and digest."""
    project.write(SUITE)
    files = shards(project, 4)
    one = project.run(*PLAIN, "--crystallize-report=one.json")
    project.raw("test_other.py", "def test_other(): raise RuntimeError('the merge runs nothing')")
    result = merge(project, reversed(files), "--crystallize-report=merged.json")
    assert result.parseoutcomes() == {**one.parseoutcomes(), "deselected": 1}
    assert result.ret == one.ret == 1
    assert told(project, "merged.json") == told(project, "one.json")
    assert [each["run"] for each in told(project, "one.json")] == [21, 16, 7, 9, 6, 6]
    assert json.loads((project.path / "merged.json").read_text())["machine"] is None  # runs were on several
    result.stdout.fnmatch_lines(["note: merged from 4 shards: *"])


@pytest.mark.slow
def test_shards_on_workers_are_merged_by_the_command(project):
    """Also where the ini file asks for workers, and warnings are errors; the exit code is pytest's."""
    project.write(SUITE)
    project.ini("addopts = -n2\nfilterwarnings = error")
    for i in range(1, 5):
        assert project.run_apart(*PLAIN, f"--crystallize-shard={i}/4").ret == 0
    project.run_apart(*PLAIN, "-n0", "--crystallize-report=one.json")
    files = sorted(map(str, project.path.glob("crystallize-shard-*.json")))
    command = "from pytest_crystallize.command.main import console; console()"
    done = subprocess.run(
        [sys.executable, "-c", command, "merge", *files, "--json=merged.json", "--html=merged.html"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "merged from 4 shards" in done.stdout
    assert done.stderr == ""
    assert told(project, "merged.json") == told(project, "one.json")
    assert (project.path / "merged.html").exists()


def test_runs_on_cases_are_counted_that_a_session_makes(project):
    """Those of its shard, and how many of them are stored; a merge makes none."""
    project.write(
        mark(cases='Cases([{"id": f"q{i}"} for i in range(9)], id="id")', replicates=None)
        + body(arguments="rng, case")
    )
    for i, stored in ((1, 0), (2, 0), (1, 10)):
        result = project.run("-pno:randomly", f"--crystallize-shard={i}/2")
        result.stdout.fnmatch_lines(
            [f"experiment_total: {10 if i == 1 else 8} runs, of which {stored} are stored"]
        )
    result = merge(project, project.path.glob("crystallize-shard-*.json"))
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*are stored*")


def test_a_shard_takes_stored_runs(project):
    """Its file holds them as those that it made."""
    project.write(total())
    project.run("-pno:randomly")
    assert project.run("-pno:randomly", "--crystallize-shard=1/1").ret == 0
    result = merge(project, [project.path / "crystallize-shard-1-of-1.json"])
    result.assert_outcomes(passed=1)


def test_a_shard_tells_of_its_own_stored_runs_alone(project):
    """Those of another one are not taken, nor is one of them what is verified."""
    project.write(total(replicates=6))
    said = []
    for shard in ("1/2", "2/2", "2/2"):
        result = project.run(f"--crystallize-shard={shard}", "-pno:randomly")
        said.append([line.strip() for line in result.outlines if "from cache" in line])
    assert said == [[], [], ["6 of 6 runs from cache, 1 verified"]]


def test_a_shard_tells_failed_runs_and_reports_nothing_as_passed(project):
    """Its job is green if its runs were made; what they are worth is judged when all are there."""
    project.write(total(lines='if seed % 2: raise ValueError("odd")', arguments="rng, seed"))
    result = project.run(*PLAIN, "--crystallize-shard=1/2", "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "note: shard 1 of 2: 6 runs, of which 4 failed, in crystallize-shard-1-of-2.json;",
            "SKIPPED *not judged here: shard 1 of 2 of the replicates; crystallize merge judges all",
        ]
    )


def test_a_shard_that_ends_early_fails_and_so_does_what_it_is_merged_into(project):
    """Replicates that nobody ran are named; the verdict is none that passes."""
    project.write(total(arguments="rng, replicate", lines="if replicate == 3: pytest.exit('enough', 0)"))
    assert [project.run(*PLAIN, f"--crystallize-shard={i}/2").ret for i in (1, 2)] == [0, 1]
    result = merge(project, project.path.glob("crystallize-shard-*.json"))
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: shard 2 of 2 lacks replicate 3 of 'baseline', *run it again"])


def test_a_session_of_a_shard_that_failed_fails_what_it_is_merged_into(project):
    """As a single run would: by an error of a fixture's teardown, or by an ordinary test."""
    project.write(total())
    test = project.raw("test_other.py", "def test_other(): assert False")
    assert project.run(*PLAIN, "--crystallize-shard=1/1").ret == 1
    result = merge(project, [project.path / "crystallize-shard-1-of-1.json"])
    assert result.ret == 1
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*the session of shard 1 of 1 ended with exit code 1*"])
    test.write_text("import nothing_of_this_name")
    assert project.run(*PLAIN, "--crystallize-shard=1/1").ret == pytest.ExitCode.INTERRUPTED
    assert not (project.path / "crystallize-shard-1-of-1.json").exists()  # of the session before


def test_other_code_than_the_shards_ran_is_invalid(project):
    """And an experiment that is gone, or new, is told."""
    path = project.write(total())
    files = shards(project, 2)
    text = path.read_text()
    path.write_text(edited(text, "uniform(0.5, 1.5)", "uniform(0.5, 1.6)"))
    result = merge(project, files)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: the shards ran other code of experiment_total than is here: *"])
    path.write_text(text.replace("experiment_total", "experiment_other"))
    result = merge(project, files)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "INVALID: experiment_other is in no shard*",
            "note: 1 of 1 test that the shards selected is not judged here:",
            "  experiment_a.py::experiment_total::total_increase*",
        ]
    )


@pytest.mark.parametrize("narrowing", ["addopts", "mark", "--crystallize-disable"])
def test_a_merge_that_judges_fewer_claims_than_the_shards_selected_fails(project, narrowing):
    """Whoever asked for less, and however: the claims that nobody judged are named."""
    skip = "@pytest.mark.skipif(\"os.path.exists('merging')\")"
    project.write(total() + total(skip, name="experiment_other", treatments='{"more": {"delta": 4.0}}'))
    files = shards(project, 2)
    other = "experiment_a.py::experiment_other::total_increase[more]"
    arguments = ["--crystallize-disable=more"] if narrowing == "--crystallize-disable" else []
    if narrowing == "addopts":
        project.ini("addopts = -k 'not more'")
    if narrowing == "mark":
        (project.path / "merging").touch()
    result = merge(project, files, *arguments)
    assert result.ret == 1
    assert result.parseoutcomes()["passed"] == 1
    fault = f"1 of 2 tests that the shards selected is not judged here: {other}"
    assert fault in " ".join(result.stdout.str().split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--crystallize-shard=5/4"], "*'5/4' is no shard; give which of how many, as in 1/4 to 4/4*"),
        (["--crystallize-shard=0/4"], "*'0/4' is no shard*"),
        (
            ["--crystallize-shard=1/2", "--crystallize-save=main"],
            "*only all shards together are a reference*",
        ),
        (["--crystallize-shard=1/2", "--crystallize-seed=random"], "*draw a root seed of its own*"),
        (["--crystallize-shard=1/2", "--crystallize-budget=calls=3"], "*each shard would spend as much*"),
    ],
)
def test_what_cannot_be_shared_is_a_usage_error(project, arguments, message):
    """Rather than verdicts that no single run would give."""
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_session_that_merges_runs_nothing(project):
    """Nor may it be asked to."""
    project.write(total())
    files = shards(project, 2)
    result = merge(project, files, "--crystallize-shard=1/2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--crystallize-shard: a session that merges shards runs nothing"])


@pytest.mark.parametrize("option", ["--collect-only", "--setup-only", "--setup-plan"])
def test_a_session_that_merges_judges(project, option):
    """It can't end well without."""
    project.write(total(direction="decrease"))
    result = merge(project, shards(project, 1), option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a session that merges shards judges them, and --collect-only*"])


def test_files_that_are_no_shards_are_told(project, capsys):
    """With exit code 2, before anything is collected."""
    project.raw("a.json", '{"schema": "crystallize-report-1"}')
    assert main(["merge", str(project.path / "a.json")]) == 2
    assert "a.json is no file of a shard: it names no format" in capsys.readouterr().err
    assert main(["merge", str(project.path / "b.json")]) == 2
    assert "b.json: No such file" in capsys.readouterr().err
