"""Values of wider fixtures that runs and tests change in place."""

from string import Template

import pytest

from plugin.records.conftest import digests, hits

SHARED = """
@pytest.fixture(scope="session")
def rates():
    return {"rate": 1.0, "steps": [1, 2], "table": np.zeros(3)}

def test_rates(rates):
    $test

@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
def experiment_first(rng, rates, gain=0.0):
    $does
    return {"y": rng.random() + gain}

@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
def experiment_total(rng, rates, gain=0.0):
    return {"y": rng.random() + gain + rates["rate"] + len(rates["steps"]) + rates["table"][0]}

@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
def experiment_other(rng, gain=0.0):
    return {"y": rng.random() + gain}
"""
ALTERED = (
    "since values of wider fixtures are changed by what uses them: 'rates'; values and verdicts may differ"
)


@pytest.mark.parametrize(
    ("test", "does", "altered"),
    [
        ("pass", "rates['rate'] = 2.0", True),
        pytest.param("rates['table'][0] = 3.0", "pass", True, marks=pytest.mark.slow),
        pytest.param("pass", "rates['steps'].append(gain)", True, marks=pytest.mark.slow),
        pytest.param("pass", "rates.setdefault('known', 3.0)", False, marks=pytest.mark.slow),
    ],
)
def test_a_value_that_something_changes_in_place_is_told(project, test, does, altered):
    """Whoever uses it gets other values with another selection: nothing of that is stored."""
    project.write(Template(SHARED).substitute(test=test, does=does))
    text = " ".join(project.run_apart("--crystallize-cache=off").stdout.str().split())
    before = "runs depend on what was run before them"
    assert (f"note: experiment_total: {before}, {ALTERED}" in text) is altered
    assert "experiment_other: runs" not in text
    project.run_apart()
    warm = project.run_apart("-v")
    assert [hits(warm, name) for name in ("first", "total", "other")] == ([0, 0, 8] if altered else [8] * 3)
    alone = project.run_apart("-v", "-k", "total", "--crystallize-cache=off")
    assert digests(project.run_apart("-v", "-k", "total")) == digests(alone)


MAKERS = """
@pytest.fixture(scope="session")
def rates():
    return {"rate": 1.0, "steps": [1, 2]}

@pytest.fixture(scope="$scope"$keywords)
def ready(rates):
    $does

class TestFirst:
    @pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
    def experiment_ready(self, rng, ready, rates, gain=0.0):
        return {"y": rng.random() + gain + len(rates["steps"])}

class TestLater:
    @pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
    def experiment_total(self, rng, rates$uses, gain=0.0):
        return {"y": rng.random() + gain + len(rates["steps"])}
"""


@pytest.mark.parametrize(
    ("scope", "keywords", "does", "uses", "altered"),
    [
        pytest.param(
            "session", ", autouse=True", "rates['steps'].append(3)", "", False, marks=pytest.mark.slow
        ),
        pytest.param("session", "", "rates['steps'].append(3)", ", ready", False, marks=pytest.mark.slow),
        ("session", "", "rates['steps'].append(3)", "", True),
        pytest.param("class", "", "rates['steps'].append(3)", ", ready", True, marks=pytest.mark.slow),
        pytest.param(
            "class",
            "",
            "rates['steps'].append(3); yield; rates['steps'].pop()",
            "",
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param("class", "", "rates['rate'] = 2.0", ", ready", False, marks=pytest.mark.slow),
    ],
)
def test_what_further_fixtures_make_of_a_value_belongs_to_it(project, scope, keywords, does, uses, altered):
    """It is found by all who use them, if they do it once for all or the same each time."""
    source = Template(MAKERS).substitute(scope=scope, keywords=keywords, does=does, uses=uses)
    project.write(source)
    cold = project.run_apart()
    told = "total: runs depend on what was run before them" in " ".join(cold.stdout.str().split())
    assert told is altered
    assert hits(project.run_apart("-v"), "ready") == 8
    warm = project.run_workers("-v", "-k", "total")
    assert hits(warm) == (0 if altered else 8)


def test_a_value_that_contains_itself_is_not_told(project):
    """Nobody has changed it, from wherever it is looked at."""
    project.write("""
        @pytest.fixture(scope="module")
        def ring():
            ring = [1, {"of": [2.0]}]
            ring.append(ring)
            return ring

        @pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
        def experiment_total(rng, ring, gain=0.0):
            return {"y": rng.random() + gain}
    """)
    assert "runs depend" not in project.run_apart().stdout.str()
    assert hits(project.run_apart("-v")) == 8


def test_nothing_is_stored_with_an_altered_value_where_the_session_ends_early(project, monkeypatch):
    """What is stored while runs are made is stored no sooner than values of fixtures were looked at."""
    project.write("""
        @pytest.fixture(scope="session")
        def rates():
            return {"rate": 1.0}

        def test_rates(rates):
            rates["rate"] = 2.0

        @pytest.mark.experiment(replicates=6, treatments={"t": {"gain": 5.0}})
        def experiment_total(rng, rates, replicate, gain=0.0):
            if replicate == 5 and os.environ.get("ENDS_EARLY"):
                os._exit(3)
            return {"y": rng.random() + gain + rates["rate"]}
    """)
    project.raw("conftest.py", "import crystallize.run.stored_runs as s\ns.PUBLISHED_EVERY = 0.0\n")
    monkeypatch.setenv("ENDS_EARLY", "1")
    assert project.run_apart().ret == 3
    monkeypatch.delenv("ENDS_EARLY")
    assert hits(project.run_apart("-v", "-k", "total")) == 0
