"""The factory, which returns an experiment."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import pytest

PIPELINE = """

@data_source
def numbers(ctx):
    return [1, 2, 3]

@pipeline_step()
def total(data, ctx, *, delta=0.0):
    return data, {"total": sum(data) + delta * ctx.rng.uniform(0.5, 1.5) + ctx.rng.normal()}

boost = treatment("boost", {"delta": 10.0})
up = Hypothesis(metric="total", direction="increase")
"""


def test_experiment(project):
    """A factory returns an experiment, and every hypothesis and treatment is a test."""
    project.write(
        PIPELINE
        + """
def experiment_boost():
    return Experiment(numbers, [total], name="anything", treatments=[boost], hypotheses=[up], replicates=6)
"""
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "experiment_a.py::experiment_boost::total_increase[[]boost[]] SUPPORTED *",
            "*::experiment_boost: 6 replicates of 2 conditions, seed 0,*",
        ]
    )


def test_builder(project):
    """A factory may return a builder that is not built yet."""
    project.write(
        PIPELINE
        + """
def experiment_boost():
    builder = Experiment.builder("b").datasource(numbers).add_step(total).treatments([boost])
    return builder.hypotheses([up]).replicates(6)
"""
    )
    project.run().assert_outcomes(passed=1)


def test_called_once(project):
    """A factory is called once in a process, at collection."""
    project.write(
        PIPELINE
        + """
def experiment_boost():
    with open("log", "a") as log:
        print("called", file=log)
    return Experiment(numbers, [total], treatments=[boost], hypotheses=[up], replicates=6)
"""
    )
    project.run().assert_outcomes(passed=1)
    assert (project.path / "log").read_text() == "called\n"


def test_same_numbers_as_the_library(project):
    """Under pytest an experiment gives the metrics that `Experiment.run` gives, bit for bit."""
    project.write(
        PIPELINE
        + """
def experiment_boost():
    return Experiment(numbers, [total], [SeedPlugin(11)], treatments=[boost], hypotheses=[up], replicates=6)

def test_library():
    result = experiment_boost().run()
    for condition in ("baseline", "boost"):
        print(f"{condition}={digest(r for r in result.records if r.condition == condition)}")
"""
    )
    result = project.run("-v", "-s")
    result.assert_outcomes(passed=2)
    (line,) = (line for line in result.outlines if line.startswith("  digest "))
    digests = line.split()[1:]
    assert len(digests) == 2
    for word in digests:
        assert result.stdout.str().count(word) == 2


def test_parametrized(project):
    """A parametrised factory gives one experiment per parameter set, parameters in the leaf."""
    project.write(
        PIPELINE
        + """
@pytest.mark.parametrize("replicates", [6, 8], ids=["six", "eight"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.skip(reason="later"))])
def experiment_boost(replicates, seed):
    return Experiment(numbers, [total], [SeedPlugin(seed)], treatments=[boost], hypotheses=[up], replicates=replicates)
"""
    )
    result = project.run("-v")
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "experiment_a.py::experiment_boost::total_increase[[]1-six-boost[]] SUPPORTED *",
            "experiment_a.py::experiment_boost::total_increase[[]1-eight-boost[]] SUPPORTED *",
            "experiment_a.py::experiment_boost::total_increase[[]2-six-boost[]] SKIPPED *",
            "*::experiment_boost [[]1-six[]]: 6 replicates of 2 conditions, seed*",
            "*::experiment_boost [[]1-eight[]]: 8 replicates of 2 conditions, seed*",
        ]
    )


def test_method(project):
    """A method of a collected class may be a factory."""
    project.write(
        PIPELINE
        + """
class TestBoost:
    replicates = 6

    def experiment_boost(self):
        return Experiment(numbers, [total], treatments=[boost], hypotheses=[up], replicates=self.replicates)
"""
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["experiment_a.py::TestBoost::experiment_boost::total_increase[[]boost[]] SUPPORTED *"]
    )


def test_two_factories_of_one_experiment(project):
    """Two factories may return the same object; each is an experiment of its own."""
    project.write(
        PIPELINE
        + """
EXPERIMENT = Experiment(numbers, [total], treatments=[boost], hypotheses=[up], replicates=6)

def experiment_a():
    return EXPERIMENT

def experiment_b():
    return EXPERIMENT

def test_library():
    assert EXPERIMENT.replicates == 6
    assert EXPERIMENT.run().metrics["hypothesis"]["accepted"]
"""
    )
    project.run("--crystallize-replicates", "7").assert_outcomes(passed=3)


def test_marks_of_a_factory(project):
    """Marks on a factory are marks of its tests; an imported helper of another name is nothing."""
    project.write(
        PIPELINE
        + """
@pytest.mark.xfail(reason="known")
def experiment_down():
    return Experiment(numbers, [total], treatments=[treatment("sink", {"delta": -10.0})], hypotheses=[up], replicates=6)

@pytest.mark.skipif(True, reason="not here")
def experiment_skipped():
    return Experiment(numbers, [total], treatments=[boost], hypotheses=[up], replicates=6)
"""
    )
    project.run().assert_outcomes(xfailed=1, skipped=1)


def test_skip_in_a_factory(project):
    """A factory that skips is skipped."""
    project.write("""
        def experiment_x():
            pytest.skip("no data here")
    """)
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no data here"])


@pytest.mark.slow
def test_factory_draws_alike_in_every_process(project):
    """What a factory draws from the global generators is the same on every worker."""
    project.write(
        PIPELINE
        + """
def experiment_boost():
    treatments = [treatment(f"boost_{random.randrange(10**9)}_{np.random.randint(10**9)}", {"delta": 10.0})]
    return Experiment(numbers, [total], treatments=treatments, hypotheses=[up], replicates=6)
"""
    )
    first = project.run("--collect-only", "-q").outlines[0]
    assert project.run("--collect-only", "-q").outlines[0] == first
    assert project.run("--collect-only", "-q", "--crystallize-seed", "1").outlines[0] != first
    result = project.run_workers("-v")
    result.assert_outcomes(passed=1)
    assert first in result.stdout.str()


def test_mark_gives_a_factory_its_seed(project):
    """A module's default seed is that of factories that give none."""
    project.write(
        PIPELINE
        + """
pytestmark = pytest.mark.experiment(seed=5, replicates=3)

def experiment_none():
    return Experiment(numbers, [total], treatments=[boost], replicates=2)

def experiment_own():
    return Experiment(numbers, [total], [SeedPlugin(6)], treatments=[boost], replicates=2)
"""
    )
    result = project.run()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*::experiment_none: 2 replicates of 2 conditions, seed 5,*",
            "*::experiment_own: 2 replicates of 2 conditions, seed 6,*",
        ]
    )


def test_initial_context_and_steps(project):
    """Treatments as functions, an initial context, several steps and a data source by context work as in the library."""
    project.write("""
        @data_source
        def draws(ctx, *, size=3):
            return ctx.rng.normal(size=ctx.get("size", size))

        @pipeline_step()
        def shift(data, ctx, *, delta=0.0):
            return data + delta

        @pipeline_step()
        def mean(data, ctx):
            ctx.metrics.add("size", len(data))
            return data, {"mean": float(data.mean())}

        @treatment("shifted")
        def shifted(ctx):
            ctx.add("delta", 5.0 + ctx.rng.uniform())

        def experiment_shift():
            return Experiment(
                draws(size=2), [shift, mean], initial_ctx={"size": 4}, treatments=[shifted],
                hypothesis=Hypothesis(metric="mean", direction="increase"), replicates=6,
            )
    """)
    project.run().assert_outcomes(passed=1)
