"""What an experiment leaves behind: nothing in the process, artifacts and hooks where they belong."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

from string import Template

import pytest

from plugin.conftest import MARK, TOTAL, total

STATE = """

import hashlib

def state():
    return hashlib.sha1(repr((random.getstate(), np.random.get_state(legacy=False))).encode()).hexdigest()
"""


def test_random_state(project):
    """The global generators are, behind each experiment, as they were before it, whatever happened inside."""
    project.write(
        STATE
        + """
before = None

def test_before():
    global before
    random.seed(1); np.random.seed(2)
    before = state()

@pytest.fixture(scope="module")
def model():
    random.random(); np.random.random()

"""
        + MARK
        + """
def experiment_draws(model, replicate, rng, delta=0.0):
    random.random(); np.random.random(); random.seed(99)
    return {"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}

def test_between():
    assert state() == before

@pytest.mark.experiment(replicates=2)
def experiment_fails(model):
    random.seed(3)
    raise ValueError

@pipeline_step()
def step(data, ctx):
    np.random.seed(4)
    return data, {"m": random.random()}

class Plugin(BasePlugin):
    def before_run(self, experiment):
        random.seed(5)

    def after_run(self, experiment, result):
        random.seed(6)

def experiment_factory():
    random.seed(7)
    return Experiment([random.random()], [step], [Plugin()], replicates=2)

@verifier
def check(baseline, treatment):
    np.random.seed(8)
    return {"p_value": 0.01, "significant": True}

@pytest.mark.experiment(replicates=2, treatments={"a": {"x": 1}}, hypotheses=[Hypothesis(check)])
def experiment_verified(x=0):
    return {"m": 1}

def test_after():
    assert state() == before
"""
    )
    project.run("-p", "no:cacheprovider").assert_outcomes(passed=6, failed=1)


def test_collection_leaves_the_random_state(project):
    """Collecting factories leaves the global generators alone."""
    project.write("""
        random.seed(5)
        before = random.getstate()

        @pipeline_step()
        def step(data, ctx):
            return data

        def experiment_x():
            random.random()
            return Experiment([random.random()], [step], replicates=1)

        def test_after():
            assert random.getstate() == before
    """)
    project.run().assert_outcomes(passed=2)


@pytest.mark.slow
def test_verifier_that_draws(project):
    """A verifier that draws from the global generators (a permutation test, say) gives the same p in every process and order."""
    project.write("""
        @verifier
        def permute(baseline, treatment):
            return {"p_value": random.random() / 2 + np.random.random() / 2, "significant": True}

        @pytest.mark.experiment(
            replicates=2,
            treatments={"a": {"x": 1}, "b": {"x": 2}},
            hypotheses=[Hypothesis(permute, name="one"), Hypothesis(permute, name="two")],
        )
        def experiment_x(x=0):
            return {"m": x}
    """)

    def values(*args):
        project.run("--junitxml", "junit.xml", *args)
        return {
            name: [p.get("value") for p in case.iter("property") if p.get("name") == "p_value"]
            for name, case in project.cases().items()
        }

    first = values()
    assert len(first) == 4
    assert values() == first
    assert values("-k", "two") == {name: p for name, p in first.items() if name.startswith("two")}


HOOKS = Template("""
import json

def note(*what):
    with open("log", "a") as log:
        print(json.dumps([*what, os.getpid()]), file=log)

class Plugin(BasePlugin):
    def before_run(self, experiment):
        $before_run

    def after_run(self, experiment, result):
        $after_run

    def before_replicate(self, experiment, ctx):
        note("before_replicate")

    def after_replicate(self, experiment, ctx):
        note("after_replicate")

    def before_step(self, experiment, step, data, ctx):
        note("before_step")

    def after_step(self, experiment, step, data, ctx):
        note("after_step")

@pipeline_step()
def step(data, ctx, *, delta=0.0):
    $step
    return data, {"m": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

$above
def experiment_x():
    return Experiment(
        [1], [step], [Plugin()],
        treatments=[Treatment("a", {"delta": 3.0}), Treatment("b", {"delta": $b})],
        hypothesis=Hypothesis(metric="m", direction="increase"), replicates=6,
    )
""")


def hooks(*, before_run='note("before_run")', after_run='note("after_run")', step="pass", above="", b=4.0):
    """Return an experiment whose hooks say that they are called."""
    return HOOKS.substitute(before_run=before_run, after_run=after_run, step=step, above=above, b=b)


def test_hooks(project):
    """Hooks around the run fire once per process that ran a unit, those around replicates and steps once per unit."""
    project.write(hooks())
    project.run().assert_outcomes(passed=2)
    called = [hook for hook, _ in project.log()]
    assert {hook: called.count(hook) for hook in set(called)} == {
        "before_run": 1,
        "after_run": 1,
        "before_replicate": 18,
        "after_replicate": 18,
        "before_step": 18,
        "after_step": 18,
    }
    assert called[0] == "before_run"
    assert called[-1] == "after_run"


@pytest.mark.slow
def test_hooks_and_artifacts_on_workers(project):
    """Hooks around the run fire once in each process that ran a unit, and all write artifacts to one version."""
    project.write(
        hooks(step="sum(range(200_000)); ctx.artifacts.add('model.txt', b'x')")
        + total(arguments="ctx, rng", lines="ctx.artifacts.add('model.txt', b'x')")
    )
    project.run_workers("--crystallize-replicates=30").assert_outcomes(passed=3)
    rows = project.log()
    pids = {pid for hook, pid in rows if hook == "before_replicate"}
    for hook in ("before_run", "after_run"):
        assert sorted(pid for name, pid in rows if name == hook) == sorted(pids)
    assert sum(hook == "before_replicate" for hook, _ in rows) == 90
    found = files(project.path / ".pytest_cache" / "d" / "crystallize" / "artifacts")
    assert len(found) == 90 + 60
    assert {name.split("/")[1] for name in found} == {"v0"}
    assert len({name.split("/")[0] for name in found}) == 2


def test_hooks_do_not_fire_where_nothing_is_run(project):
    """Without a unit no hook fires: not when collecting, not when skipped."""
    project.write(hooks(above="@pytest.mark.skip"))
    project.run("--collect-only")
    project.run().assert_outcomes(skipped=2)
    assert project.log() == []


@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError('here')",
        "sys.exit(0)",
        "pytest.fail('here')",
        "pytest.skip('here')",
        "pytest.exit('here', 0)",
    ],
)
def test_after_run_that_raises(project, fault):
    """after_run that raises takes no verdict away, hides no failure, and is told."""
    project.write(hooks(after_run=fault, b=-4.0))
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*note: experiment_x: Plugin.after_run failed: *"])


def test_before_run_that_raises_is_called_once(project):
    """before_run that raises fails every unit, and is not called again."""
    project.write(hooks(before_run='note("before_run"); raise ValueError("here")'))
    result = project.run()
    result.assert_outcomes(failed=2)
    assert [hook for hook, _ in project.log()] == ["before_run"]
    assert (
        result.stdout.str().count("ValueError('here')") <= 1
        or result.stdout.str().count("raise ValueError") <= 3
    )


ARTIFACTS = """
@pipeline_step()
def step(data, ctx, *, delta=0.0):
    sum(range(200_000))
    ctx.artifacts.add("model.txt", f"{ctx.replicate} {ctx.condition}".encode())
    return data, {"m": ctx.rng.normal() + delta * ctx.rng.uniform(0.5, 1.5)}

def experiment_x():
    return Experiment(
        [1], [step], PLUGINS, treatments=[Treatment("a", {"delta": 3.0})],
        hypothesis=Hypothesis(metric="m", direction="increase"), replicates=8,
    )
"""


def files(path):
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("model.txt"))


def test_artifacts_below_the_cache(project):
    """Artifacts go below the cache directory, a version per session, and nothing else is written."""
    project.write("PLUGINS = []\n" + ARTIFACTS)
    project.run().assert_outcomes(passed=1)
    root = project.path / ".pytest_cache" / "d" / "crystallize" / "artifacts"
    found = files(root)
    assert len(found) == 16
    assert {name.split("/")[1] for name in found} == {"v0"}
    assert not (project.path / "data").exists()
    project.run().assert_outcomes(passed=1)
    assert {name.split("/")[1] for name in files(root)} == {"v0", "v1"}


def test_given_artifact_plugin(project):
    """A given ArtifactPlugin says where artifacts go."""
    project.write("PLUGINS = [ArtifactPlugin('kept')]\n" + ARTIFACTS)
    project.run().assert_outcomes(passed=1)
    assert len(files(project.path / "kept")) == 16
    assert not (project.path / ".pytest_cache" / "d" / "crystallize" / "artifacts").exists()


@pytest.mark.slow
def test_artifacts_that_cannot_be_written(project):
    """Artifacts that can't be written fail their replicates, and say where."""
    project.raw("kept", "a file")
    project.write("PLUGINS = [ArtifactPlugin('kept')]\n" + ARTIFACTS)
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INVALID: 8 of 8 replicates *kept*"])


def test_artifacts_of_parameter_sets(project):
    """Parameter sets of one experiment don't write over each other's artifacts."""
    project.write(
        total(
            above="@pytest.mark.parametrize('p', [1, 2])",
            arguments="p, ctx, rng",
            lines="ctx.artifacts.add('model.txt', str(p).encode())",
        )
    )
    project.run().assert_outcomes(passed=2)
    root = project.path / ".pytest_cache" / "d" / "crystallize" / "artifacts"
    assert len(files(root)) == 24


def test_working_directory_is_clean(project):
    """A run leaves nothing in the project but the cache."""
    project.write(TOTAL)
    before = {path.name for path in project.path.iterdir()}
    project.run().assert_outcomes(passed=1)
    after = {path.name for path in project.path.iterdir()}
    assert after - before <= {".pytest_cache", "__pycache__"}


def test_environment_and_directory_of_bodies(project):
    """PYTEST_CURRENT_TEST names the test in a body, and the working directory is the user's."""
    project.write(total(lines="assert 'experiment_total' in os.environ['PYTEST_CURRENT_TEST']"))
    project.run().assert_outcomes(passed=1)
