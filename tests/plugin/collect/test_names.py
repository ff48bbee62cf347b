"""Names of every kind: collected, selected by node id and -k, rerun by --lf, and in JUnit."""

# ruff: noqa: E501 - lines of projects under test, and of what pytest prints

import json

import pytest

from plugin.conftest import PRELUDE, edited, total

NAMES = [
    "with space",
    "[brackets]",
    "a]b[c",
    "größe",
    "精度",
    "🎲",
    "a::b",
    "a/b",
    "../../up",
    "C:\\dir",
    "new\nline",
    "tab\tbed",
    "'single'",
    '"double"',
    "$HOME `x` ;",
    "-x",
    "a-b-c",
    "%s {} <b>&amp;",
    ".",
    "..",
    "bell\x07",
    "nul\x00",
    "\x1b[31mred",
    "x" * 300,
    "trailing ",
    "not or and",
    "[",
    "]",
    "\u202eright to left",
    "e\u0301",
]


def write(project, names, *, direction="increase"):
    project.raw(
        "experiment_a.py",
        PRELUDE
        + f"""

NAMES = {names!r}
TREATMENTS = {{name: {{"delta": 3.0}} for name in NAMES}}

@pytest.mark.experiment(
    replicates=6,
    treatments=TREATMENTS,
    hypotheses=[Hypothesis(metric=name, direction="{direction}", name=name) for name in NAMES[:1]],
)
def experiment_names(rng, delta=0.0):
    value = rng.normal() + delta * rng.uniform(0.5, 1.5)
    return {{name: value for name in NAMES}}
""",
    )


def nodeids(result):
    return [line for line in result.outlines if line.startswith("experiment_a.py::")]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_name(project, name):
    """Hypothesis, treatment and metric of any name are collected, selected, rerun and reported."""
    write(project, [name])
    (nodeid,) = nodeids(project.run("--collect-only", "-q"))
    assert nodeid.isprintable() or "\u202e" in nodeid
    result = project.run(nodeid, "--junitxml", "junit.xml")
    result.assert_outcomes(passed=1)
    assert len(project.cases()) == 1
    assert "\x1b" not in result.stdout.str()
    assert result.stdout.str().isprintable() or all(
        line.isprintable() for line in result.outlines if "\u202e" not in line
    )


@pytest.mark.slow
def test_all_names_at_once(project):
    """Tests of all names pass together, fail together, and --lf reruns exactly the one that failed."""
    write(project, NAMES)
    everything = nodeids(project.run("--collect-only", "-q"))
    assert len(set(everything)) == len(everything) == len(NAMES)
    result = project.run("--junitxml", "junit.xml")
    result.assert_outcomes(passed=len(NAMES))
    assert len(project.cases()) == len(NAMES)
    source = (project.path / "experiment_a.py").read_text()
    for index in (0, 6, 8, 10, 12):
        end = "for name in NAMES}\n"
        changed = edited(source, end, f"{end}TREATMENTS[NAMES[{index}]] = {{}}\n")
        (project.path / "experiment_a.py").write_text(changed)
        result = project.run("-q")
        result.assert_outcomes(passed=len(NAMES) - 1, failed=1)
        result = project.run("--lf", "--collect-only", "-q")
        assert nodeids(result) == [everything[index]]


def test_names_by_keyword(project):
    """-k finds tests by hypothesis, treatment, function, parameter and file."""
    project.raw(
        "experiment_a.py",
        PRELUDE
        + """
@pytest.mark.parametrize("data", ["digits", "cancer"])
@pytest.mark.experiment(
    replicates=2,
    treatments={"forest": {"m": 1}, "boosted trees": {"m": 2}},
    hypotheses=[Hypothesis(metric="accuracy", direction="increase"), Hypothesis(metric="time", direction="decrease")],
)
def experiment_models(data, m=0):
    pass
""",
    )

    def count(expression):
        return len(nodeids(project.run("--collect-only", "-q", "-k", expression)))

    assert count("forest") == 4
    assert count("accuracy and forest") == 2
    assert count("accuracy and forest and digits") == 1
    assert count("experiment_models") == 8
    assert count("boosted and not time") == 2
    assert count("nonesuch") == 0


@pytest.mark.slow
def test_parameters_of_every_name(project):
    """Parameter ids of every kind are part of node ids that can be selected."""
    ids = ["a::b", "a/b", "[x]", "ü", "with space", "x]"]
    project.raw(
        "experiment_a.py",
        PRELUDE
        + f"""
@pytest.mark.parametrize("p", {list(range(len(ids)))}, ids={ids!r})
@pytest.mark.experiment(replicates=2, treatments={{"t": {{"m": 1}}}})
def experiment_p(p, m=0):
    pass
""",
    )
    everything = nodeids(project.run("--collect-only", "-q"))
    assert len(everything) == len(ids)
    for nodeid in everything:
        project.run(nodeid).assert_outcomes(passed=1)


@pytest.mark.slow
def test_names_on_workers(project):
    """Names of every kind travel between processes, and into logs, reports and tables."""
    write(project, NAMES)
    result = project.run_workers("--junitxml", "junit.xml", "-v")
    result.assert_outcomes(passed=len(NAMES))
    assert len(project.cases()) == len(NAMES)


@pytest.mark.parametrize("name", ["", " ", "\n"], ids=ascii)
def test_empty_names(project, name):
    """An empty name is refused."""
    write(project, [name])
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*DefinitionError: *name*"])


def test_lone_surrogate(project):
    """A name that no encoding can carry breaks nothing."""
    write(project, ["a\ud800b"])
    result = project.run("--junitxml", "junit.xml", "-v")
    result.stdout.no_fnmatch_line("INTERNALERROR*")
    assert result.ret in (0, 2)


@pytest.mark.slow
def test_repeat_line_of_every_name(project):
    """The line that repeats a failed replicate can be pasted into a shell, whatever the names."""
    import shlex

    for name in ["it's", "a b", '"q"', "$HOME", "new\nline", "[x]", "größe", "a::b", "\\x0a"]:
        project.raw(
            "experiment_a.py",
            PRELUDE
            + f"""
@pytest.mark.experiment(replicates=2, treatments={{{name!r}: {{"m": 1}}}}, hypotheses=[Hypothesis(metric="x", direction="differ", name={name!r})])
def experiment_p(condition, m=0):
    assert not m, json.dumps(condition)
import json
""",
        )
        result = project.run()
        result.assert_outcomes(failed=1)
        line = next(line for line in result.outlines if line.startswith("repeat it: "))
        command = shlex.split(line.removeprefix("repeat it: "))
        assert command[:2] == ["pytest", "--crystallize"]
        result = project.run_plain("-p", "no:randomly", *command[1:])
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E   *AssertionError: " + json.dumps(name).replace("[", "[[]")])


def test_one_name_under_two_ids(project):
    """Hypotheses of one name are told apart by their ids: in the table, too, each has its own rows."""
    project.write(
        total(
            hypotheses="""[
                pytest.param(Hypothesis(metric="total", direction="increase", name="same"), id="first one"),
                pytest.param(
                    Hypothesis(metric="total", direction="no_increase", margin=9, name="same"), id="second"
                ),
            ]"""
        )
    )
    result = project.run("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::first one[[]boost[]] SUPPORTED *", "*::second[[]boost[]] SUPPORTED *"])
    result.stdout.fnmatch_lines(["  first one (total)*", "    boost *", "  second (total)*", "    boost *"])
    result.stdout.no_fnmatch_line("  same *")
