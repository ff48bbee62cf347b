"""Stored runs: what is taken from earlier sessions, what is not, and what is said of it."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plugin.conftest import PRELUDE, TOTAL, properties

MODULE = """
@pytest.mark.experiment(
    replicates=5,
    treatments={{"boost": {{"delta": 3.0}}}},
    hypotheses=[Hypothesis(metric="total", direction="increase")],
    {}
)
def experiment_total(rng, delta=0.0):
{}
    return {{"total": rng.normal() + delta * rng.uniform(0.5, 1.5)}}
"""


def experiment(body="    pass", mark=""):
    """Return an experiment of ten runs whose body does something besides."""
    return MODULE.format(mark, body)


def cached(result):
    """Return experiment -> (runs from cache, runs, verified), as the summary tells them."""
    found, name = {}, None
    for line in result.outlines:
        head = r"\S+::experiment_(\w+)(?: (\[.*\]))?(: \w+)?: (?:stopped at )?\d+ "
        if heading := re.match(head, line):
            name = "".join(filter(None, heading.groups()))
            found[name] = (0, None, 0)
        if told := re.match(r"  (\d+) of (\d+) runs? from cache(?:, (\d+) verified)?$", line):
            found[name] = (int(told[1]), int(told[2]), int(told[3] or 0))
    return found


def digests(result):
    """Return the lines with digests, which -v prints, and those with verdicts."""
    lines = [line for line in result.outlines if "digest " in line or line.endswith("SUPPORTED")]
    assert lines
    return lines


def hits(result, name="total"):
    """Return how many runs of an experiment were stored."""
    return cached(result)[name][0]


@pytest.mark.parametrize("second", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("first", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_cold_and_warm_sessions_agree(project, first, second):
    """Whoever runs and whoever reads: all runs are stored, and digests and verdicts are the same."""
    project.write(experiment())
    cold = project.run_apart("-v", f"-n{first}")
    warm = project.run_apart("-v", f"-n{second}")
    assert hits(cold) == 0
    found, runs, verified = cached(warm)["total"]
    assert (found, runs) == (10, 10)
    assert verified >= 1
    assert digests(cold) == digests(warm)
    warm.stdout.fnmatch_lines(["*SUPPORTED p=* (cached)*"])
    assert "(cached)" not in cold.stdout.str()


def test_modes(project):
    """Option refresh runs and stores again, off neither reads nor stores; the ini file says it too."""
    project.write(experiment())
    off = project.run("-v", "--crystallize-cache=off")
    assert hits(project.run("-v")) == 0
    refreshed = project.run("-v", "--crystallize-cache", "refresh")
    assert hits(refreshed) == 0
    assert digests(refreshed) == digests(off)
    assert hits(project.run("-v", "--crystallize-cache", "off")) == 0
    project.ini("crystallize_cache = off\n")
    assert hits(project.run()) == 0
    assert hits(project.run("--crystallize-cache=reuse")) == 10
    project.ini("crystallize_cache = sometimes\n")
    result = project.run()
    assert result.ret == 4
    assert "'sometimes' is none of reuse, refresh, off" in result.stderr.str()


@pytest.mark.slow
def test_clearing_and_no_cache_provider(project):
    """--cache-clear forgets all runs; without pytest's cache there is none."""
    project.write(experiment())
    project.run("-p", "no:cacheprovider")
    assert hits(project.run()) == 0
    assert hits(project.run()) == 10
    assert hits(project.run("-p", "no:cacheprovider")) == 0
    assert hits(project.run("--cache-clear")) == 0
    assert hits(project.run()) == 10


def test_growing_runs_the_rest(project):
    """From 12 replicates to 30, 18 of each condition are run."""
    project.write(experiment())
    project.run("--crystallize-replicates=12")
    result = project.run("--crystallize-replicates=30", "-v")
    assert cached(result)["total"][:2] == (24, 60)
    fresh = project.run("--crystallize-replicates=30", "-v", "--crystallize-cache=off")
    assert digests(result) == digests(fresh)


EDITED = {
    "experiment_a.py": PRELUDE
    + """
import helpers

@pytest.mark.experiment(
    replicates=5,
    treatments={"boost": {"delta": 3.0}, "more": {"delta": 4.0}},
    hypotheses=[Hypothesis(metric="total", direction="increase", alpha=0.05)],
)
def experiment_total(rng, scale, level, delta=0.0, extra=0):
    return {"total": helpers.clean(rng.normal() + scale * level + delta * rng.uniform(0.5, 1.5) + extra)}

@pytest.fixture
def scale():
    return 2
""",
    "conftest.py": """
import pytest

@pytest.fixture(scope="session")
def level():
    return 1

@pytest.fixture(autouse=True)
def always():
    yield
""",
    "helpers.py": "def clean(x):\n    return x\n",
}

EDITS = {
    "body": ("experiment_a.py", "+ extra)", "+ extra + 1)", 0, "experiment_a.experiment_total changed"),
    "helper": ("helpers.py", "return x", "return x + 1", 0, "helpers.clean changed"),
    "fixture": ("experiment_a.py", "return 2", "return 3", 0, "experiment_a.scale changed"),
    "conftest": ("conftest.py", "return 1", "return 5", 0, "conftest.level changed"),
    "autouse": ("conftest.py", "    yield", "    print()\n    yield", 0, "conftest.always changed"),
    "default": ("experiment_a.py", "extra=0", "extra=2", 0, "experiment_a.experiment_total changed"),
    "treatment": ("experiment_a.py", "4.0", "5.0", 10, None),
    "treatment's name": ("experiment_a.py", '"more"', '"most"', 10, None),
    "another treatment": ("experiment_a.py", '{"delta": 4.0}', '{"delta": 4.0}, "x": {"extra": 9}', 15, None),
    "alpha": ("experiment_a.py", "alpha=0.05", "alpha=0.04", 15, None),
    "hypothesis": ("experiment_a.py", '"increase"', '"differ"', 15, None),
    "replicates": ("experiment_a.py", "replicates=5", "replicates=4", 12, None),
    "comment": ("helpers.py", "def", "# a comment\n\ndef", 15, None),
}


QUICK = {"helper", "fixture", "treatment"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit", [edit if edit in QUICK else pytest.param(edit, marks=pytest.mark.slow) for edit in EDITS]
)
def test_an_edit_reruns_what_it_concerns(project, edit):
    """Each edit has exactly those conditions run again that it could change, and -vv says what it was."""
    for name, text in EDITED.items():
        project.raw(name, text)
    project.run_apart()
    name, old, new, expected, said = EDITS[edit]
    assert EDITED[name].count(old) == 1
    project.raw(name, EDITED[name].replace(old, new))
    result = project.run_apart("-vv")
    assert hits(result) == expected
    told = " ".join(line.strip() for line in result.outlines)
    assert said is None or f"recomputed: {said}" in told
    assert said is not None or "recomputed" not in told


@pytest.mark.slow
def test_seed_parameters_and_environment(project, monkeypatch):
    """Another root seed, parameter or declared variable is another run; what was stored before counts again."""
    project.write(
        "@pytest.mark.parametrize('depth', [1, 2])"
        + experiment(mark="env=['SIZE']").replace("(rng,", "(rng, depth,")
    )
    project.run()
    assert {name: n for name, (n, _, _) in cached(project.run()).items()} == {"total[1]": 10, "total[2]": 10}
    assert hits(project.run("--crystallize-seed=1"), "total[1]") == 0
    project.run()
    monkeypatch.setenv("SIZE", "3")
    result = project.run("-vv")
    assert hits(result, "total[1]") == 0
    result.stdout.fnmatch_lines(["  recomputed: environment variable SIZE changed"])
    monkeypatch.delenv("SIZE")
    assert hits(project.run(), "total[2]") == 10


IMPURE = {
    "file": ("open(__file__[:-15] + 'data.txt').read()", "opened data.txt, which is not declared in inputs="),
    "writing": ("open('out.txt', 'w').write('1')", "wrote out.txt, which a stored result would not"),
    "process": ("import subprocess; subprocess.run([sys.executable, '-c', ''])", "started the process"),
    "socket": (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()",
        "listened on a network address",
    ),
    "generators": (None, "drew from the global generators"),
}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind", [kind if kind == "file" else pytest.param(kind, marks=pytest.mark.slow) for kind in IMPURE]
)
def test_impure_runs_are_run_each_time(project, kind, workers):
    """What no key can see is said once, and such an experiment is run in every session."""
    code, said = IMPURE[kind]
    project.raw("data.txt", "1")
    if code is None:
        project.write("""
            @pipeline_step()
            def step(data, ctx, *, delta=0.0):
                return data, {"total": random.random() + delta}

            def experiment_total():
                return Experiment(0, [step], [SeedPlugin(auto_seed=False)], treatments=[Treatment("boost", {"delta": 3.0})], replicates=5)
            """)
    else:
        project.write(experiment("    " + code))
    for _ in range(2):
        result = project.run_apart(f"-n{workers}")
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count(f"run each time: {said}") == 1


def test_declared_inputs(project):
    """Declared files may be read; when their content changes, or there is another one, runs are run again."""
    project.raw("data/a.csv", "1")
    body = "    import pathlib; sum(float(f.read_text()) for f in pathlib.Path('data').glob('*.csv'))"
    project.write(experiment(body, "inputs=['data/*.csv']"))
    project.run()
    assert hits(project.run()) == 10
    project.raw("data/a.csv", "2")
    result = project.run("-vv")
    assert hits(result) == 0
    result.stdout.fnmatch_lines(["  recomputed: input data/a.csv changed"])
    project.raw("data/b.csv", "2")
    assert hits(project.run()) == 0
    project.raw("data/a.csv", "1")
    (project.path / "data/b.csv").unlink()
    assert hits(project.run()) == 10
    project.write(experiment(body, "inputs=['data/*.txt']"))
    result = project.run()
    assert hits(result) == 0
    assert "run each time: inputs= 'data/*.txt' names no file" in result.stdout.str()


def test_a_cache_key_admits_all(project):
    """With cache_key=, impure runs are stored and not verified; another key is another run."""
    body = "    with open('log', 'a') as log: log.write('x')"
    project.write(experiment(body, "cache_key='v1'"))
    project.run()
    assert cached(project.run())["total"] == (10, 10, 0)
    assert (project.path / "log").stat().st_size == 10
    project.write(experiment(body, "cache_key='v2'"))
    assert hits(project.run()) == 0


@pytest.mark.slow
def test_what_cannot_be_fingerprinted_is_refused(project):
    """The part and the reason are said once; a cache_key stands for it."""
    project.raw("opened.py", "handle = open(__file__)\n")
    body = "    import opened; opened.handle.name"
    project.write(experiment(body))
    for _ in range(2):
        result = project.run_apart("-W", "ignore")
        assert hits(result) == 0
        assert result.stdout.str().count("run each time: experiment_total reaches opened.handle") == 1
    project.write(experiment(body, "cache_key='mine'"))
    project.run_apart("-W", "ignore")
    assert hits(project.run_apart("-W", "ignore")) == 10


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("request", "request.getfixturevalue('other')"),
        ("request", "request.config.getoption('verbose')"),
        ("request", "print(request)"),
        ("pytestconfig", "pytestconfig.getini('addopts')"),
    ],
)
def test_fixtures_that_ask_pytest_are_refused(project, argument, code):
    """What a fixture gets from options, or from fixtures that it names at run time, is in no key."""
    project.write(
        experiment().replace("(rng,", "(rng, asking,")
        + f"""
@pytest.fixture
def other():
    return 1

@pytest.fixture
def asking({argument}):
    return {code}
"""
    )
    project.run()
    result = project.run()
    assert hits(result) == 0
    result.stdout.fnmatch_lines(["*run each time: fixture 'asking' *"])


def test_parametrized_fixtures(project):
    """A fixture's parameter counts by its value."""
    project.write(
        experiment().replace("(rng,", "(rng, level,")
        + """
@pytest.fixture(params=[1, 2])
def level(request):
    return request.param
"""
    )
    project.run()
    assert {name: n for name, (n, _, _) in cached(project.run()).items()} == {"total[1]": 10, "total[2]": 10}


RANDOM = """
@pytest.mark.experiment(replicates=5, treatments={"boost": {"delta": 3.0}}, hypotheses=[Hypothesis(metric="total", direction="increase")])
def experiment_total(rng, delta=0.0):
    return {"other": 1, "total": float(os.environ.get("CHANCE", 0)) + delta}
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_result_that_does_not_repeat_is_an_error(project, workers, monkeypatch):
    """The run that is verified names the metric and both values, and the verdict is INVALID."""
    project.write(RANDOM)
    project.run()
    monkeypatch.setenv("CHANCE", "0.5")
    result = project.run_apart(f"-n{workers}")
    result.assert_outcomes(failed=1)
    text = " ".join(line.strip() for line in result.outlines)
    assert re.search(
        r"metric 'total' in replicate \d of '(boost|baseline)' is total = \d\.5, but an earlier run of the same code stored total = \d\.0",
        text,
    )
    assert "INVALID" in text
    result.stdout.fnmatch_lines(["*in verification of the cache:"])


def test_verification_can_be_switched_off(project):
    """With crystallize_cache_verify = 0 no run is repeated; of values without sense it is said."""
    project.write(RANDOM)
    project.ini("crystallize_cache_verify = 0\n")
    project.run()
    assert cached(project.run())["total"] == (10, 10, 0)
    project.ini("crystallize_cache_verify = 2\n")
    result = project.run()
    assert result.ret == 4
    assert "crystallize_cache_verify: '2' is not a number from 0 to 1" in result.stderr.str()


def test_measured_metrics(project):
    """A claim about a measured metric is never decided on stored runs; beside one, stored runs are used."""
    source = experiment("    ctx.metrics.add('took', rng.random(), measured=True)").replace(
        "(rng,", "(ctx, rng,"
    )
    project.write(source)
    project.run()
    assert hits(project.run()) == 10
    project.write(source.replace('"total", direction="increase"', '"took", direction="differ"'))
    result = project.run()
    assert hits(result) == 0
    assert "run each time: a hypothesis is about a measured metric" in result.stdout.str()


def packs(project):
    """Return the files of stored runs."""
    return sorted((project.path / ".pytest_cache/d/crystallize/records").rglob("*.pack"))


@pytest.mark.slow
def test_files_that_are_not_ours(project, monkeypatch):
    """Torn, flipped and forged records, and those of another secret, are run again; nothing is said."""
    project.write(experiment())
    project.run()
    whole = {path: path.read_bytes() for path in packs(project)}
    assert whole
    for change in (lambda b: b[:-3], lambda b: b.replace(b'"total"', b'"tOtal"'), lambda b: b""):
        for path, data in whole.items():
            for other in packs(project):
                other.unlink()
            path.write_bytes(change(data))
        result = project.run()
        result.assert_outcomes(passed=1)
        assert hits(result) < 10
    for path, data in whole.items():
        path.write_bytes(data)
    assert hits(project.run()) == 10
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "another")
    from crystallize.storage.place import open_store  # its stores are kept by directory

    open_store.cache_clear()
    assert hits(project.run()) == 0
    open_store.cache_clear()


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(project):
    """One note in the summary says so, and everything runs."""
    project.write(experiment())
    place = project.path / ".pytest_cache/d/crystallize"
    place.mkdir(parents=True)
    (place / "records").write_text("a file")
    result = project.run_apart("-n2")
    result.assert_outcomes(passed=1)
    text = " ".join(line.strip() for line in result.outlines)
    assert text.count("note: runs are not stored: the cache in") == 1


@pytest.mark.slow
def test_no_secret(project, monkeypatch):
    """Without a place for the secret nothing is stored, and the summary says what to do."""
    project.write(experiment())
    home = project.raw("home", "a file")
    monkeypatch.delenv("CRYSTALLIZE_CACHE_SECRET")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "below"))
    monkeypatch.setenv("HOME", str(home / "below"))
    for _ in range(2):
        result = project.run_apart()
        result.assert_outcomes(passed=1)
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count("runs are not stored: the cache's secret") == 1
    assert packs(project) == []


SLOW = (
    experiment("    time.sleep(0.01)\n    if replicate == int(os.environ.get('STOP', -1)): STOPS")
    .replace("(rng,", "(replicate, rng,")
    .replace("replicates=5", "replicates=60")
)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_session_goes_on(project, workers):
    """Behind an interrupt, all finished runs are there; the next session ends with the digest of an undisturbed one."""
    source = "import time\n" + SLOW.replace("STOPS", "raise KeyboardInterrupt")
    project.write(source)
    whole = project.run_apart("-v", "--crystallize-cache=off")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "30")
        project.run_apart(f"-n{workers}")
    result = project.run_apart("-v")
    found, runs, _ = cached(result)["total"]
    assert runs == 120
    assert found >= 55
    assert digests(result) == digests(whole)


@pytest.mark.slow
def test_a_killed_session_goes_on(project):
    """What a kill -9 loses is what was not stored yet; the rest is run, to the same digest."""
    project.write("import time, signal\n" + SLOW.replace("STOPS", "os.kill(os.getpid(), signal.SIGKILL)"))
    whole = project.run_apart("-v", "--crystallize-cache=off")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "50")
        killed = project.start()
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL
    result = project.run_apart("-v")
    assert 10 <= hits(result) <= 100
    assert digests(result) == digests(whole)


@pytest.mark.slow
def test_a_killed_worker(project):
    """The verdict is INVALID in the session that lost a run, and stored runs complete it in the next one."""
    project.write("import time, signal\n" + SLOW.replace("STOPS", "os.kill(os.getpid(), signal.SIGKILL)"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP", "50")
        result = project.run_workers("-v")
        result.assert_outcomes(failed=1)
    result = project.run_workers("-v")
    result.assert_outcomes(passed=1)
    assert 0 < hits(result) < 120


SHARED = """
import functools, helpers

@pytest.mark.experiment(replicates=2)
def experiment_a(ctx):
    return {"x": helpers.data()}

@pytest.mark.experiment(replicates=2)
def experiment_b(ctx):
    return {"x": helpers.data() + 1}

@pytest.mark.experiment(replicates=2)
def experiment_c(ctx):
    return {"x": 1}
"""


@pytest.mark.slow
def test_what_another_experiment_has_left_in_memory(project):
    """An experiment that gets from memory what an impure one has read is impure as well; others are not."""
    project.raw("data.txt", "1")
    project.raw(
        "helpers.py",
        "import functools\n\n@functools.lru_cache\ndef data():\n    return int(open('data.txt').read())\n",
    )
    project.write(SHARED)
    for _ in range(2):
        result = project.run_apart()
    assert {name: n for name, (n, _, _) in cached(result).items()} == {"a": 0, "b": 0, "c": 2}
    text = " ".join(line.strip() for line in result.outlines)
    assert "run each time: shares helpers.data with experiment_a, which opened data.txt" in text


@pytest.mark.slow
def test_wider_fixtures_that_read_files(project):
    """What a session's fixture opens counts against every experiment that depends on it."""
    project.raw("data.txt", "1")
    project.write("""
@pytest.fixture(scope="session")
def data():
    return int(open("data.txt").read())

def test_first(data):
    pass

@pytest.mark.experiment(replicates=2)
def experiment_a(data):
    return {"x": data}

@pytest.fixture(scope="session")
def declared():
    return int(open("data.txt").read())

@pytest.mark.experiment(replicates=2, inputs=["data.txt"])
def experiment_b(declared):
    return {"x": declared}

@pytest.mark.experiment(replicates=2)
def experiment_c():
    return {"x": 1}
""")
    for _ in range(2):
        result = project.run_apart()
    assert {name: n for name, (n, _, _) in cached(result).items()} == {"a": 0, "b": 2, "c": 2}


@pytest.mark.slow
def test_code_that_changes_its_own_globals(project):
    """Runs whose code is not what it was are not stored, and what changed is said once."""
    project.write("count = 0\n" + experiment("    global count\n    count += 1"))
    for _ in range(2):
        result = project.run_apart()
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count("since they change what they use: experiment_a.count changed") == 1


def test_failures_skips_and_artifacts_are_not_stored(project):
    """Only whole runs are, and only those whose record is all that they made."""
    project.write(
        experiment("    if replicate == 3: raise ValueError").replace("(rng,", "(replicate, rng,")
        + """
@pytest.mark.experiment(replicates=2)
def experiment_keeps(ctx):
    ctx.artifacts.add("a.bin", b"1")
    return {"x": 1}

@pytest.mark.experiment(replicates=2)
def experiment_skips(replicate):
    if replicate:
        pytest.skip("not now")
"""
    )
    for _ in range(2):
        result = project.run()
    assert cached(result)["total"][:2] == (8, 10)
    assert cached(result)["skips"][:2] == (1, 2)
    assert cached(result)["keeps"][0] == 0
    text = " ".join(line.strip() for line in result.outlines)
    assert text.count("run each time: wrote artifacts, which are not stored with its record") == 1


FACTORY = """
@pipeline_step()
def step(data, ctx, *, delta=0.0, scale=1):
    return data, {"total": scale * (ctx.rng.normal() + delta) + len(data)}

class Counting(BasePlugin):
    def after_step(self, experiment, step, data, ctx):
        pass

@data_source
def source(ctx):
    return [1, 2]

def experiment_total():
    return Experiment(
        source, [step(scale=2)], PLUGINS,
        name="title", treatments=[Treatment("boost", {"delta": 3.0})],
        hypotheses=[Hypothesis(metric="total", direction="increase")], initial_ctx={"k": 1}, replicates=5,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"title"', '"another title"', 10),
        ("experiment_total", "experiment_renamed", 10),
        ("scale=2", "scale=3", 0),
        ("3.0", "4.0", 5),
        ("[1, 2]", "[1, 2, 3]", 0),
        ('"k": 1', '"k": 2', 0),
        ("PLUGINS", "[SeedPlugin(seed_fn=random.seed)]", 0),
        ("PLUGINS", "[SeedPlugin(seed=1)]", 0),
        ("PLUGINS", "[LoggingPlugin()]", 10),
    ],
)
def test_edits_of_a_factory(project, old, new, expected):
    """Parameters, data, seeding and context count; titles and names do not."""
    project.write(FACTORY.replace("PLUGINS", "[]"))
    project.run()
    project.write(FACTORY.replace(old, new).replace("PLUGINS", "[]"))
    result = project.run()
    (found,) = cached(result).values()
    assert found[0] == expected


def test_hooks_around_runs(project):
    """A stored run would not call a plugin's hooks, so there is none; unless a cache_key says so."""
    project.write(FACTORY.replace("PLUGINS", "[Counting()]"))
    project.run()
    result = project.run()
    assert hits(result) == 0
    assert "run each time: Counting.after_step is a hook around runs" in " ".join(result.outlines)
    project.write(FACTORY.replace("PLUGINS", "[Counting()], cache_key='v'"))
    project.run()
    assert hits(project.run()) == 10


def test_graphs(project):
    """Of a graph, what writes artifacts is run each time; what reads them is stored, under what is upstream."""
    source = """
weights = Artifact.json("weights.json")

@pipeline_step()
def train(data, ctx, *, rate=1.0):
    ctx.artifacts.add("weights.json", [rate * x for x in data])
    return data

@pipeline_step()
def score(data, ctx):
    return data, {"score": sum(data) + ctx.rng.normal()}

def experiment_graph():
    return ExperimentGraph(
        Experiment([1, 2], [train], name="train", outputs=[weights], treatments=[Treatment("fast", {"rate": 9.0})]),
        Experiment(weights, [score], name="score", hypothesis=Hypothesis(metric="score", direction="increase"), replicates=6),
    )
"""
    project.write(source)
    project.run("-v")
    result = project.run("-v")
    assert cached(result)["graph: score"][:2] == (12, 12)
    assert cached(result)["graph: train"][0] == 0
    project.write(source.replace("rate * x", "rate * x + 1"))
    assert cached(project.run())["graph: score"][0] == 0


def test_early_stopping(project):
    """Stored runs are used up to the look that decides, and the verdict is that of a cold session."""
    project.write(
        experiment(mark="stopping=GroupSequential(looks=4),")
        .replace("replicates=5", "replicates=40")
        .replace("3.0", "30.0")
    )
    cold = project.run("-v")
    warm = project.run("-v")
    assert digests(cold) == digests(warm)
    assert cached(warm)["total"][:2] == (20, 20)


def test_calibration(project):
    """A/A tests have runs of their own, which are stored as well."""
    project.write(experiment())
    project.run()
    cold = project.run("--crystallize-calibrate=20")
    warm = project.run("--crystallize-calibrate=20")
    assert hits(cold) == 0
    assert cached(warm)["total"][:2] == (200, 200)
    assert hits(project.run()) == 10


def test_a_single_run_is_not_taken_from_the_cache(project):
    """--crystallize-repro runs what it is asked to."""
    project.write(experiment("    print('ran')"))
    project.run()
    assert project.run("-s", "--crystallize-repro=2:boost").stdout.str().count("ran\n") == 1


def test_last_failed(project):
    """--lf takes the runs of the failed test from the cache."""
    project.write(
        experiment().replace('"boost": {"delta": 3.0}', '"boost": {"delta": 3.0}, "none": {"delta": 0.0}')
    )
    project.run().assert_outcomes(passed=1, failed=1)
    result = project.run("--lf")
    result.assert_outcomes(failed=1)
    assert hits(result) == 10


@pytest.mark.slow
def test_two_sessions_at_once(project):
    """Both end well, and the next one finds the runs of either."""
    project.write(experiment("    import time; time.sleep(0.02)"))
    first, second = project.start(), project.start("-n2")
    assert first.communicate(timeout=60)[0].count("SUPPORTED") == 1
    assert second.communicate(timeout=60)[0].count("SUPPORTED") == 1
    assert (first.returncode, second.returncode) == (0, 0)
    assert hits(project.run()) == 10


@pytest.mark.slow
def test_any_hash_seed(project, monkeypatch):
    """Keys do not depend on the order of sets; one that was set by somebody counts."""
    source = "names = {'a', 'b', 'c', 'd', 'e'}\n" + experiment("    sorted(names)")
    project.write(source)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    for _ in range(3):
        result = project.run_apart()
    assert hits(result) == 10
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    assert hits(project.run_apart()) == 0


def test_junit_and_words(project):
    """JUnit says how many runs of a test were stored."""
    project.write(TOTAL)
    project.run()
    project.run("--junit-xml=junit.xml")
    (case,) = project.cases().values()
    assert properties(case)["cached_runs"] == "12"


@pytest.mark.parametrize("mark", ["inputs='data'", "inputs=[1]", "env='SIZE'", "cache_key=''", "cache_key=3"])
def test_wrong_declarations(project, mark):
    """The error says what was given and what is to be given."""
    project.write(experiment(mark=mark))
    result = project.run()
    result.assert_outcomes(errors=1)
    name = mark.partition("=")[0]
    result.stdout.fnmatch_lines([f"*experiment_a.py:*{name} is *; give *"])


@pytest.mark.slow
def test_the_example_suite(project):
    """All of it comes from the cache the second time."""
    suite = Path(__file__).parents[3] / "example_suite"
    cache = f"cache_dir={project.path / 'cache'}"
    for _ in range(2):
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "--crystallize", suite, "-o", cache, "-p", "no:randomly"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout
    lines = [line for line in process.stdout.splitlines() if "from cache" in line]
    assert lines
    assert json.dumps(lines)
