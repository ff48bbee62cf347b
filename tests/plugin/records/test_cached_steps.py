"""Cacheable steps under pytest."""

from string import Template

import pytest

from plugin.conftest import edited

STEPS = Template("""
    from pathlib import Path

    @pipeline_step(cacheable=True)
    def train(data, ctx, *, width=1):
        $does
        return data + width + ctx.rng.normal(), {"width": float(width)}

    @pipeline_step()
    def score(data, ctx, *, bonus=0.0):
        return data, {"x": data + bonus * ctx.rng.uniform(0.5, 1.5)}

    def experiment_a():
        return Experiment(
            1.0,
            [train, score],
            treatments=[Treatment("bonus", {"bonus": 1.0})],
            hypotheses=[Hypothesis(metric="x", direction="increase")],
            replicates=8,
            $declared
        )
""")
SOURCE = STEPS.substitute(does='print("training")', declared="")


def run(project, *args):
    """Run without workers in this process, with some in processes of their own."""
    return project.run(*args) if "0" in args else project.run_apart(*args)


def digests(result):
    return [line for line in result.outlines if line.strip().startswith("digest")]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_results_of_steps_are_kept_where_runs_are_not(project, workers):
    """An edit behind a step leaves its result; they lie in pytest's cache, and make no difference."""
    project.write(SOURCE)
    off = run(project, "-n", workers, "-v", "--crystallize-cache", "off")
    assert not (project.path / ".pytest_cache/d/crystallize/steps").exists()
    cold = run(project, "-n", workers, "-v")
    stored = sorted((project.path / ".pytest_cache/d/crystallize/steps").rglob("*.value"))
    assert len(stored) == 8  # the baseline's and the treatment's are the same
    project.write(edited(SOURCE, "bonus * ctx", "bonus * 1.0 * ctx"))
    changed = run(project, "-n", workers, "-vv")
    changed.stdout.fnmatch_lines(
        ["  step train from cache in 16 of 16 runs", "*recomputed: experiment_a.score changed"]
    )
    project.run("-n", "0").stdout.no_fnmatch_line("*step train*")  # runs from the cache call no step
    assert sorted((project.path / ".pytest_cache/d/crystallize/steps").rglob("*.value")) == stored
    assert digests(off) == digests(cold) == digests(changed) != []
    assert not (project.path / ".cache").exists()


MARKS = """
    class Rate:
        k = 1

    pytestmark = [pytest.mark.rates({(1, 2): 3}), pytest.mark.rates({"a", "b"}, Rate())]
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")
def test_marks_may_say_what_has_no_text(project):
    """Values of marks are told apart by what they are, not by how they are shown."""
    project.write(MARKS + SOURCE)
    project.run().assert_outcomes(passed=1)
    project.write(MARKS + edited(SOURCE, "bonus * ctx", "bonus * 1.0 * ctx"))
    project.run("-v").stdout.fnmatch_lines(["  step train from cache in 16 of 16 runs"])
    project.write(edited(MARKS, "k = 1", "k = 2") + edited(SOURCE, "bonus * ctx", "bonus * 1.1 * ctx"))
    project.run("-v").stdout.no_fnmatch_line("*step train*16 of 16 runs*")
    shown = MARKS.replace("Rate())", "open(__file__))") + edited(SOURCE, "bonus * ctx", "bonus * 1.2 * ctx")
    project.write(shown)
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*run each time: marks*rates*is a _io.TextIOWrapper*"])


@pytest.mark.slow
def test_what_keeps_a_step_from_being_kept_is_said_once(project):
    """Whatever the number of workers; declared files are part of the key."""
    (project.path / "data.txt").write_text("1")
    reads = 'print(Path("data.txt").read_text())'
    project.write(STEPS.substitute(does=reads, declared=""))
    result = project.run_workers()
    result.assert_outcomes(passed=1)
    told = "".join(result.outlines).count("step 'train' is not cached: it opened data.txt")
    assert told == 1
    project.write(STEPS.substitute(does=reads, declared='inputs=["data.txt"],'))
    assert "is not cached" not in str(project.run().stdout)
    project.run().stdout.fnmatch_lines(["*16 of 16 runs from cache*"])
    (project.path / "data.txt").write_text("2")
    changed = project.run("-vv")
    changed.stdout.no_fnmatch_line("* of 16 runs from cache*")
