"""Stored runs: what is never stored or taken from the store, and what is said of it."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import sys
from types import SimpleNamespace

import pytest

from plugin.records.conftest import cached, experiment, hits, packs

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


@pytest.mark.slow
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
        project.write(experiment(code))
    for _ in range(2):
        result = project.run_apart(f"-n{workers}")
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count(f"run each time: {said}") == 1


@pytest.mark.slow
def test_a_cache_key_admits_all(project):
    """With cache_key=, impure runs are stored and not verified; another key is another run."""
    body = "with open('log', 'a') as log: log.write('x')"
    project.write(experiment(body, cache_key="'v1'"))
    project.run()
    assert cached(project.run())["total"] == (10, 10, 0)
    assert (project.path / "log").stat().st_size == 10
    project.write(experiment(body, cache_key="'v2'"))
    assert hits(project.run()) == 0


DEBUGGER = """
class Debugger:
    def __init__(self, *args, **options):
        pass

    def set_trace(self, frame, *args):
        frame.f_locals["noted"].append(3.0)
"""


@pytest.mark.parametrize("declared", [{}, {"cache_key": "'mine'"}], ids=["watched", "vouched for"])
def test_what_somebody_changed_in_a_debugger_is_not_stored(project, declared):
    """Nor what other runs gave behind it: the next session without one has its own."""
    project.raw("conftest.py", DEBUGGER)
    lines = "noted = []\nif condition == 'boost': breakpoint()"
    value = "rng.normal() + sum(noted) * rng.uniform(0.5, 1.5)"
    project.write(experiment(lines, arguments="rng, condition", value=value, **declared))
    result = project.run("--pdbcls=conftest:Debugger")
    result.assert_outcomes(passed=1)
    assert "run each time: stopped in a debugger, where anything may be changed" in result.stdout.str()
    result = project.run("-W", "ignore", "--pdbcls=conftest:Debugger")
    assert hits(result) <= 1  # the baseline of replicate 0


def test_where_a_debugger_is_attached_nothing_is_stored(project, monkeypatch):
    """It would stop in no stored run, and what somebody changes there is in no key; who asks for them, has them."""
    project.write(experiment())
    attached = SimpleNamespace(get_global_debugger=object)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pydevd", attached)
        told = "note: a debugger is to stop in runs, so none is stored or taken from the store;"
        for _ in range(2):
            project.run().stdout.fnmatch_lines([told])
    assert packs(project) == []
    monkeypatch.setitem(sys.modules, "pydevd", SimpleNamespace(get_global_debugger=lambda: None))
    assert hits(project.run()) == 0
    assert hits(project.run()) == 10
    monkeypatch.setitem(sys.modules, "pydevd", attached)
    assert hits(project.run("--crystallize-cache=reuse")) == 10


@pytest.mark.slow
def test_what_cannot_be_fingerprinted_is_refused(project):
    """The part and the reason are said once; a cache_key stands for it."""
    project.raw("opened.py", "handle = open(__file__)\n")
    body = "import opened; opened.handle.name"
    project.write(experiment(body))
    for _ in range(2):
        result = project.run_apart("-W", "ignore")
        assert hits(result) == 0
        assert result.stdout.str().count("run each time: experiment_total reaches opened.handle") == 1
    project.write(experiment(body, cache_key="'mine'"))
    project.run_apart("-W", "ignore")
    assert hits(project.run_apart("-W", "ignore")) == 10


@pytest.mark.slow
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
        experiment(arguments="rng, asking")
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
        experiment(arguments="rng, level")
        + """
@pytest.fixture(params=[1, 2])
def level(request):
    return request.param
"""
    )
    project.run()
    assert {name: n for name, (n, _, _) in cached(project.run()).items()} == {"total[1]": 10, "total[2]": 10}


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
@pytest.mark.parametrize("helpers", ["helpers", "colorsys"])  # Python has a module of the second name, too
def test_what_another_experiment_has_left_in_memory(project, helpers):
    """An experiment that gets from memory what an impure one has read is impure as well; others are not."""
    project.raw("data.txt", "1")
    project.raw(
        f"{helpers}.py",
        "import functools\n\n@functools.lru_cache\ndef data():\n    return int(open('data.txt').read())\n",
    )
    project.write(SHARED.replace("functools, helpers", f"functools, {helpers} as helpers"))
    for _ in range(2):
        result = project.run_apart()
    assert {name: n for name, (n, _, _) in cached(result).items()} == {"a": 0, "b": 0, "c": 2}
    text = " ".join(line.strip() for line in result.outlines)
    assert f"run each time: shares {helpers}.data with experiment_a, which opened data.txt" in text


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
    project.write("count = 0\n" + experiment("global count\ncount += 1"))
    for _ in range(2):
        result = project.run_apart()
        assert hits(result) == 0
        text = " ".join(line.strip() for line in result.outlines)
        assert text.count("since they change what they use: experiment_a.count changed") == 1


def test_failures_skips_and_artifacts_are_not_stored(project):
    """Only whole runs are, and only those whose record is all that they made."""
    project.write(
        experiment("if replicate == 3: raise ValueError", arguments="replicate, rng")
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


def test_functions_that_python_makes_for_each_are_not_shared(project):
    """Two data classes have nothing in common but who made them."""
    for name, line in (("a", "str(Point()) + Path('data.txt').read_text()"), ("b", "str(Point())")):
        project.write(
            f"""
            from dataclasses import dataclass
            from pathlib import Path

            @dataclass
            class Point:
                x: int = 0

            @pytest.mark.experiment(replicates=3, treatments={{"t": {{"delta": 1.0}}}})
            def experiment_{name}(rng, delta=0.0):
                {line}
                return {{"y": rng.normal() + delta}}
            """,
            f"experiment_{name}.py",
        )
    project.raw("data.txt", "1")
    result = project.run("-o", "crystallize_cache_verify=0")
    assert "shares" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*run each time: *"])
