"""Replicates and root seeds: command line, declaration, ini file, in that order."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import itertools
import re

import pytest

from plugin.conftest import TOTAL, edited, total

SOURCE = """

@pipeline_step()
def step(data, ctx):
    return data, {{"m": ctx.rng.normal()}}

def experiment_factory():
    return Experiment([1], [step], {plugins}, replicates={factory_replicates})

@pytest.mark.experiment({mark})
def experiment_marked(rng):
    return {{"m": rng.normal()}}
"""

EVERY = list(itertools.product([None, 3], [None, 4], [None, 5]))

HEAD = re.compile(r"::(experiment_\w+): (\d+) replicates? of 1 condition,\s+seed\s+(\d+),")


def heads(result):
    """Return what the tables say of each experiment: replicates and seed."""
    found = HEAD.finditer("\n".join(result.outlines))
    return {match[1]: (int(match[2]), int(match[3])) for match in found}


@pytest.mark.slow
@pytest.mark.parametrize(("line", "mark", "ini"), EVERY)
def test_precedence_of_seeds(project, line, mark, ini):
    """The root seed is that of the command line, else of the mark or SeedPlugin, else of the ini file, else 0."""
    if ini is not None:
        project.ini(f"crystallize_seed = {ini}\n")
    project.write(
        SOURCE.format(
            plugins="[]" if mark is None else f"[SeedPlugin({mark})]",
            factory_replicates=2,
            mark="replicates=2" + ("" if mark is None else f", seed={mark}"),
        )
    )
    result = project.run(*([] if line is None else ["--crystallize-seed", str(line)]))
    result.assert_outcomes(passed=2)
    seed = next((n for n in (line, mark, ini) if n is not None), 0)
    assert heads(result) == {"experiment_factory": (2, seed), "experiment_marked": (2, seed)}


@pytest.mark.parametrize(("line", "mark", "ini"), EVERY)
def test_precedence_of_replicates(project, line, mark, ini):
    """The number of replicates is that of the command line, else of the declaration, else of the ini file."""
    if ini is not None:
        project.ini(f"crystallize_replicates = {ini}\n")
    project.write(
        SOURCE.format(plugins="[]", factory_replicates=4, mark="" if mark is None else f"replicates={mark}")
    )
    result = project.run(*([] if line is None else ["--crystallize-replicates", str(line)]))
    replicates = next((n for n in (line, mark, ini) if n is not None), None)
    if replicates is None:
        assert result.ret == 2
        result.stdout.fnmatch_lines(["*experiment_marked declares no replicates; give replicates= *"])
        return
    result.assert_outcomes(passed=2)
    assert heads(result) == {"experiment_factory": (line or 4, 0), "experiment_marked": (replicates, 0)}


def test_auto_seed_of_a_plugin(project):
    """SeedPlugin without a seed leaves it to pytest."""
    project.ini("crystallize_seed = 8\n")
    project.write(
        SOURCE.format(plugins="[SeedPlugin(auto_seed=True)]", factory_replicates=2, mark="replicates=2")
    )
    assert heads(project.run())["experiment_factory"] == (2, 8)


@pytest.mark.slow
def test_seed_changes_the_numbers(project):
    """Another root seed gives other numbers, the same one the same."""
    project.write(SOURCE.format(plugins="[]", factory_replicates=2, mark="replicates=2"))

    def digests(*args):
        result = project.run("-v", *args)
        return [line for line in result.outlines if line.startswith("  digest")]

    assert len(digests()) == 2
    assert digests() == digests("--crystallize-seed", "0")
    assert not set(digests()) & set(digests("--crystallize-seed", "1"))
    assert digests("--crystallize-seed", str(2**70)) != digests("--crystallize-seed", str(2**70 + 1))


@pytest.mark.slow
def test_random_seed(project):
    """A random seed is printed, and repeats the run when it is given."""
    project.write(TOTAL)
    result = project.run("-v", "--crystallize-seed", "random")
    (line,) = (line for line in result.outlines if line.startswith("crystallize: drew root seed"))
    match = re.fullmatch(r"crystallize: drew root seed (\d+); repeat with --crystallize-seed=\1", line)
    again = project.run("-v", "--crystallize-seed", match[1])
    digests = [next(line for line in r.outlines if line.startswith("  digest")) for r in (result, again)]
    assert digests[0] == digests[1]
    other = project.run("-v", "--crystallize-seed", "random")
    assert digests[0] not in other.outlines


@pytest.mark.slow
def test_random_seed_on_workers(project):
    """All workers use the one random seed that was printed, also for fixtures and in factories."""
    project.write(
        total(replicates=12)
        + """
import json

@pytest.fixture(scope="session", autouse=True)
def drawn():
    with open("log", "a") as log:
        print(json.dumps(random.random()), file=log)
"""
    )
    result = project.run_workers("-v", "--crystallize-seed", "random")
    result.assert_outcomes(passed=1)
    (line,) = (line for line in result.outlines if line.startswith("crystallize: drew root seed"))
    assert len(set(project.log())) == 1
    again = project.run("-v", line.split()[-1])
    digests = [next(line for line in r.outlines if line.startswith("  digest")) for r in (result, again)]
    assert digests[0] == digests[1]
    assert len(set(project.log())) == 1


def test_random_seed_by_ini(project):
    """The ini file may ask for a random seed, which a seed on the command line overrides without a word."""
    project.ini("crystallize_seed = random\n")
    project.write(TOTAL)
    project.run().stdout.fnmatch_lines(["crystallize: drew root seed *"])
    project.run("--crystallize-seed", "4").stdout.no_fnmatch_line("*drew root seed*")


def test_random_seed_in_a_quiet_failure(project):
    """Under -q a seed that was drawn is still found in the output: without it nobody could repeat a failure."""
    project.write(total(direction="decrease"))
    result = project.run("-q", "--crystallize-seed", "random")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*--crystallize-seed=*"])


def test_repeat_line_carries_the_seed(project):
    """The line that repeats a replicate carries what was given on the command line."""
    project.write(total(arguments="replicate, rng", lines="assert replicate != 8"))
    result = project.run("--crystallize-seed", "random", "--crystallize-replicates", "9")
    result.assert_outcomes(failed=1)
    (drawn,) = (line for line in result.outlines if line.startswith("crystallize: drew root seed"))
    line = next(line for line in result.outlines if line.startswith("repeat it: "))
    assert drawn.split()[-1] in line.split()
    assert "--crystallize-replicates=9" in line


@pytest.mark.parametrize("text", ["0", "-1", "three", "1.5", "", "\u0663", "1_0"])
def test_bad_replicates(project, text):
    """A number of replicates is an integer >= 1, on the command line and in the ini file."""
    project.write(TOTAL)
    result = project.run(f"--crystallize-replicates={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*argument --crystallize-replicates: *"])
    if text:
        project.ini(f"crystallize_replicates = {text}\n")
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *crystallize_replicates: '{text}' is not an integer >= 1"])
        assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("text", ["-1", "three", "1.5", "", "\u0663", "Random"])
def test_bad_seeds(project, text):
    """A seed is an integer >= 0 or the word random, on the command line and in the ini file."""
    project.write(TOTAL)
    result = project.run(f"--crystallize-seed={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*argument --crystallize-seed: *"])
    if text:
        project.ini(f"crystallize_seed = {text}\n")
        result = project.run()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [f"ERROR: *crystallize_seed: '{text}' is neither an integer >= 0 nor 'random'"]
        )


@pytest.mark.parametrize(
    "name", ["max_concurrency", "cache_verify", "replicates", "seed", "remote", "repeatable", "claims"]
)
def test_an_ini_option_that_is_empty_says_nothing(project, name):
    """It is as if the line was not there."""
    project.write(edited(TOTAL, "def experiment", "async def experiment"))
    project.ini(f"crystallize_{name} =\n")
    project.run("-n0").assert_outcomes(passed=1)
    project.run("-n0").assert_outcomes(passed=1)  # from the cache


@pytest.mark.parametrize("text", ["perhaps", ""])
@pytest.mark.parametrize("name", ["junit_properties", "early_stop"])
def test_bad_switches(project, name, text):
    """A switch of the ini file is refused before anything is run, and the message names it."""
    project.write(TOTAL)
    project.ini(f"crystallize_{name} = {text}\n")
    result = project.run("-n0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: ini option crystallize_{name}: *'{text}'*; give true or false"])


@pytest.mark.slow
def test_errors_of_options_on_workers(project):
    """A wrong option under -n is one usage error."""
    project.write(TOTAL)
    project.ini("crystallize_seed = x\n")
    result = project.run_workers()
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_plugins_of_a_mark(project, workers):
    """A seed, what is seeded, and where artifacts go; the command line has the last word."""
    project.write(
        """
        import random

        PLUGINS = [SeedPlugin(7, auto_seed=False), ArtifactPlugin("kept", keep_versions=1)]

        @pytest.mark.experiment(replicates=2, plugins=PLUGINS)
        def experiment_unseeded(ctx):
            ctx.artifacts.add("made.txt", b"x")
            return {"seed": ctx.seed, "drawn": random.random()}

        @pytest.mark.experiment(replicates=2, plugins=[SeedPlugin(seed_fn=lambda seed: random.seed(1))])
        def experiment_own(ctx):
            return {"drawn": random.random()}
        """
    )
    for _ in range(2):
        result = project.run_apart("-n", workers)
        result.assert_outcomes(passed=2)
    assert heads(result)["experiment_unseeded"] == (2, 7)
    result.stdout.fnmatch_lines(["  baseline: drawn 0.1344"])
    (version,) = (project.path / "kept/experiment_unseeded").iterdir()
    assert version.name == "v1"
    other = project.run_apart("-n", workers, "--crystallize-seed=8", "-k", "unseeded")
    assert heads(other)["experiment_unseeded"] == (2, 8)


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (
            "[SerialExecution()]",
            "*plugins= of @pytest.mark.experiment holds <*SerialExecution*it takes SeedPlugin*",
        ),
        ("[SeedPlugin]", "*holds <class *SeedPlugin*"),
        ("SeedPlugin(1)", "*plugins*list of plugins*"),
        ("[SeedPlugin(1)], seed=2", "*has seed=2 and SeedPlugin(1); give the seed once*"),
    ],
)
def test_plugins_that_a_mark_does_not_take(project, plugins, message):
    """Executions, logs and hooks are pytest's there."""
    project.write(
        f"""
        @pytest.mark.experiment(replicates=2, plugins={plugins})
        def experiment_a(ctx):
            return {{"x": 1.0}}
        """
    )
    result = project.run("-n0")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])
