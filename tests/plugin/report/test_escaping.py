"""What comes from users is shown escaped, in every output."""

import json
import re
import shlex
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest

from crystallize.text.escaping import printable, printable_lines
from plugin.conftest import edited
from pytest_crystallize.report.annotations import annotation
from pytest_crystallize.report.text import wrapped

HOSTILE = (
    "x\n::error file=README.md,line=1::forged\n  ::add-mask::a\nrun ##[error]forged\r##vso[task.complete]"
    "\x1b]0;title\x07\x1b[2A\x1b[32mSUPPORTED\x9b31m\x85\u2028::warning::u\u202egnp\u2066.\ufeff\ud800|`<b>`\x00\ufffe"
)
"""Escapes, control characters, line separators, marks of direction, and commands of runners of jobs."""

EXPERIMENTS = f"""
import logging

H = {HOSTILE!r}
PRINTED = H.replace("\\ud800", "")


@pytest.mark.experiment(
    replicates=6,
    treatments={{"treatment" + H: {{"delta": 3.0}}}},
    hypotheses=[
        Hypothesis(metric="metric" + H, direction="decrease", name="refuted" + H),
        pytest.param(
            Hypothesis(metric="metric" + H, direction="decrease", name="expected"),
            marks=pytest.mark.xfail(reason="xfail" + H),
        ),
        Hypothesis(
            lambda baseline, treatment: {{"accepted": False, "details" + H: "answer" + H, "p_value": 0.5}},
            metrics="metric" + H,
            name="verified",
        ),
    ],
)
def experiment_refuted(rng, record_property, delta=0.0):
    record_property("property" + H, "value" + H)
    return {{"metric" + H: rng.normal() + delta}}


@pytest.mark.experiment(replicates=2)
def experiment_raises(capsys):
    print("stdout" + PRINTED)
    print("stderr" + PRINTED, file=sys.stderr)
    logging.getLogger("logger").warning("log" + PRINTED)
    warnings.warn("warning" + H)
    raise ValueError("message" + H)


@pytest.mark.experiment(replicates=2)
def experiment_skips():
    pytest.skip("skip" + H)


@pytest.fixture(scope="module")
def broken():
    print("fixture stdout" + PRINTED)
    raise LookupError("fixture" + H)


@pytest.mark.experiment(replicates=2)
def experiment_fixture(broken):
    pass


@pytest.mark.parametrize("value", [1], ids=["id" + H])
@pytest.mark.experiment(replicates=2, treatments={{"unread" + H: {{"key" + H: 1}}}})
def experiment_means(ctx, value):
    ctx.metrics.add("mean" + H, 1.0)
"""


def forged(text):
    """Return the lines that a runner of jobs would take for commands, those left out that are annotations."""
    lines = re.split("[\n\r]", text)
    return [
        line for line in lines if re.match(r"\s*::(?!error file=[^:]*experiment_\w+\.py,)|.*##\w*\[", line)
    ]


def unprintable(text):
    """Return the characters of a text that nothing may print."""
    return {char for char in text if not char.isprintable() and char != "\n"}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_hostile_names_and_messages(project, monkeypatch, workers):
    """Control characters, escapes and commands of a job's runner reach no output."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    project.ini("filterwarnings = always\njunit_family = xunit1")
    project.write(EXPERIMENTS)
    reports = [f"--crystallize-report=r.{suffix}" for suffix in ("html", "md", "json")]
    args = [*reports, "--junitxml=junit.xml", "-vv", "-rA", "--color=no"]
    result = (project.run_workers if workers else project.run)(*args)
    terminal = result.stdout.str()
    texts = {name: (project.path / name).read_text() for name in ("r.html", "r.md", "r.json", "summary.md")}
    junit = ElementTree.parse(project.path / "junit.xml")
    inside = [part for node in junit.iter() for part in (node.text or "", *node.attrib.values())]
    for text in (terminal, *texts.values(), *inside):
        assert not unprintable(text)
        assert not forged(text)
    json.loads(texts["r.json"], parse_constant=pytest.fail)
    ElementTree.fromstring(texts["r.html"].partition("\n")[2])
    told = [
        "refuted",
        "xfail",
        "metric",
        "details",
        "answer",
        "stdout",
        "stderr",
        "log",
        "warning",
        "message",
    ]
    told += ["skip", "fixture", "key", "mean"]
    assert [word for word in told if f"{word}x\\n" not in terminal and f"{word}x\n" not in terminal] == []


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('told' + H)",
        """
        print('told' + H.replace("\\ud800", ""))
        Hypothesis(metric='told' + H, direction='up' + H)
        """,
        """
        def experiment_factory():
            raise ValueError('told' + H)
        """,
        """
        @pytest.mark.experiment(replicates=2, treatments=2 * [Treatment('told' + H, {})])
        def experiment_twice():
            pass
        """,
    ],
    ids=["module", "constructor", "factory", "declaration"],
)
def test_collection_errors(project, source, workers):
    """What is said of what can't be collected is escaped, too."""
    project.write(f"H = {HOSTILE!r}\n" + textwrap.dedent(source))
    result = (project.run_workers if workers else project.run)("--junitxml=junit.xml")
    text = result.stdout.str()
    assert "told" in text
    assert not unprintable(text)
    assert not forged(text)
    ElementTree.parse(project.path / "junit.xml")


def test_conditions_that_a_usage_error_lists(project):
    """A condition that is not there is answered by those that are, escaped."""
    project.write(EXPERIMENTS)
    result = project.run("--crystallize-repro=0:other")
    text = result.stdout.str() + result.stderr.str()
    assert r"treatmentx\n::error" in text
    assert not unprintable(text)
    assert not forged(text)


def test_a_repeated_run_that_raises(project):
    """The exception is pytest's to show, and comes escaped; the condition may be given as it was shown."""
    source = edited(EXPERIMENTS, "    record_property(", "    raise ValueError(H)\n    record_property(")
    project.ini("filterwarnings = always")
    project.write(source)
    result = project.run("-k", "refuted")
    shown = re.search(r"repeat it: (.*0:treatment.*)", result.stdout.str())
    assert shown is not None
    args = shlex.split(shown[1])
    result = project.run(*args[2:], "-vv")
    text = result.stdout.str()
    assert re.search(r"E +ValueError: x\n", text)
    assert not unprintable(text)
    assert not forged(text)


def test_explanations_of_assertions_have_no_colours_in_records(project):
    """Pytest colours them where it prints; a record is shown by reports of every kind."""
    project.write(
        """
        @pytest.mark.experiment(replicates=2)
        def experiment_asserts():
            assert {"a": 1, "b": 2} == {"a": 1, "b": 3}
        """
    )
    result = project.run("--color=yes", "--crystallize-report=r.md", "-vv")
    assert "x1b" not in result.stdout.str()
    assert "x1b" not in (project.path / "r.md").read_text()
    assert "E         {'b': 2} != {'b': 3}" in re.sub("\x1b\\[[0-9;]*m", "", result.stdout.str())


@pytest.mark.parametrize("start", ["::", " ::", "\t::", "##[error]::", "a ##vso[x]", "###[x]"])
@pytest.mark.parametrize("show", [printable, printable_lines, lambda text: "\n".join(wrapped(text, 30))])
def test_no_line_is_a_command(start, show):
    """Neither of the texts that are one line, nor of those that are several, nor where a line is broken."""
    for text in (
        f"{start}error x",
        f"x\n{start}error",
        f"{'x' * 30}{start}error",
        f"{'x' * 29} {start}error",
    ):
        assert not forged(show(text))
    assert forged(f"{start}error") or "::" not in start


@pytest.mark.parametrize(
    "text", ["plain", "größe 精度", "a :: b", "a::b", "# [x]", "tests/experiment_a.py::x"]
)
def test_ordinary_texts_stay(text):
    """Nothing is escaped that does no harm."""
    assert printable(text) == printable_lines(text) == text


def test_progress_and_annotations():
    """The line of progress and the annotations of a pull request hold nothing else."""
    line = annotation(Path(HOSTILE.replace("\x00", "")), 3, title=HOSTILE, message=HOSTILE)
    assert not unprintable(line)
    assert line.count("::") - HOSTILE.count("::") <= 2
