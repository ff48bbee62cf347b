"""What is told of runs that are repeated, and of the seed that repeats them."""

import re

import pytest

from plugin.conftest import ITEM, TOTAL, total


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_repeated_run_is_told(project, workers):
    """Its metrics, exactly, with seed and digest: the same each time."""
    project.write(TOTAL)
    project.run("--crystallize-report=r.json", "--crystallize-seed=5")
    run = project.run_workers if workers else project.run
    told = set()
    for _ in range(2):
        result = run("--crystallize-seed=5", "--crystallize-repro=3:boost", ITEM)
        text = " ".join(line.strip() for line in result.outlines)
        told.add(
            re.search(r"note: experiment_total: replicate 3 of 'boost', (seed .*? digest \w{16})\b", text)[1]
        )
    (line,) = told
    found = re.fullmatch(r"seed (\d+): total = (\S+); digest \w+", line)
    report = project.json("r.json")["experiments"][0]
    assert int(found[1]) == report["seeds"][3]
    assert float(found[2]) == report["samples"]["total"]["boost"][3]


def test_a_repeated_factory_is_told(project):
    """A run of a factory, too, with everything that it recorded."""
    project.write(
        """
        @data_source
        def numbers(ctx):
            ctx.metrics.add("label", "a\\x1bb")
            return 1.0

        @pipeline_step()
        def scaled(data, ctx, *, factor=1.0):
            return data, {"scaled": factor * data}

        def experiment_scaled():
            return Experiment(
                datasource=numbers(),
                pipeline=Pipeline([scaled()]),
                treatments=[Treatment("twice", {"factor": 2.0})],
                hypotheses=[Hypothesis(metric="scaled", direction="increase")],
                replicates=3,
            )
        """
    )
    result = project.run("--crystallize-repro=1:twice")
    assert r"label = 'a\x1bb', scaled = 2.0" in " ".join(line.strip() for line in result.outlines)


@pytest.mark.slow
@pytest.mark.parametrize("args", [["-q"], ["-qq"], ["--no-header"], []])
def test_a_drawn_seed_is_told_once(project, args):
    """Where there is no header to tell it, at the end."""
    project.write(TOTAL)
    result = project.run("--crystallize-seed=random", *args)
    (line,) = [line for line in result.outlines if "drew root seed" in line]
    seed = re.search(r"--crystallize-seed=(\d+)", line)[1]
    assert project.run("--crystallize-seed", seed, "-v").ret == result.ret


def test_experiments_of_one_name_are_told_apart_by_node_ids(project):
    """They can be given to pytest where it was started; parameters and parts stand behind them."""
    project.write(total(above="@pytest.mark.parametrize('k', [1, 2])", arguments="k, rng"))
    project.raw("sub/experiment_b.py", (project.path / "experiment_a.py").read_text())
    result = project.run()
    titles = re.findall(r"^(\S+::\S+) (\[\d\]): 6", result.stdout.str(), re.MULTILINE)
    assert titles == [
        (f"{path}::experiment_total", f"[{k}]")
        for path in ("experiment_a.py", "sub/experiment_b.py")
        for k in (1, 2)
    ]
    project.run(titles[-1][0]).assert_outcomes(passed=2)
