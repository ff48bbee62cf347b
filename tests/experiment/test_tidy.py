"""Results as tables and as trees."""

import io
import math
import sys

import pytest

from crystallize import BasePlugin, Experiment, PipelineStep, Treatment, pipeline_step
from crystallize.errors import DefinitionError, MissingExtraError
from crystallize.experiment.tidy import Row, tidy_rows
from crystallize.experiment.tree import encodable, tree_lines


@pipeline_step()
def measure(data, ctx, *, delta=0):
    if delta == 1 and ctx.replicate == 1:
        raise ValueError("a reason\nand more of it")
    for case in ("a", "b"):
        ctx.metrics.add("x", data + delta + ctx.replicate, unit=case)
    ctx.metrics.add("seconds", 0.5, measured=True)
    return data


def result(**kwargs):
    return Experiment(
        1, [measure], treatments=[Treatment("boost", {"delta": 1})], replicates=2, name="e", **kwargs
    ).run()


def rows(result):
    return list(tidy_rows(result._conditions.values()))


def test_there_is_a_row_for_every_value():
    """By condition, replicate, metric and unit, with the seed."""
    found = rows(result())
    seed = found[0].seed
    assert found[:3] == [
        Row("baseline", 0, seed, "x", "a", 1, False),
        Row("baseline", 0, seed, "x", "b", 1, False),
        Row("baseline", 0, seed, "seconds", None, 0.5, True),
    ]
    assert [row.condition for row in found] == ["baseline"] * 6 + ["boost"] * 5
    assert {row.replicate: row.seed for row in found if row.condition == "boost"} == {
        row.replicate: row.seed for row in found if row.condition == "baseline"
    }


def test_a_replicate_without_a_value_has_a_row_with_nan():
    """A sample is never shortened unseen, also if its condition always fails."""
    failed = [row for row in rows(result()) if row.condition == "boost" and row.replicate == 1]
    assert [(row.metric, row.unit, row.measured) for row in failed] == [
        ("x", None, False),
        ("seconds", None, True),
    ]
    assert all(math.isnan(row.value) for row in failed)

    @pipeline_step()
    def fails(data, ctx, *, bad=False):
        return data, {"x": 1 / (not bad)}

    always = Experiment(0, [fails], treatments=[Treatment("t", {"bad": True})], replicates=2).run()
    assert [row.metric for row in rows(always) if row.condition == "t"] == ["x", "x"]


def test_a_frame_has_the_rows():
    """With columns of plain types, ready for `groupby`."""
    pytest.importorskip("pandas")
    frame = result().to_frame()
    assert list(frame.columns) == list(Row._fields)
    assert len(frame) == 11
    assert frame["value"].dtype == float
    assert frame["measured"].dtype == bool
    means = frame[frame.metric == "x"].groupby("condition")["value"].mean()
    assert means.to_dict() == {"baseline": 1.5, "boost": 2.0}


def test_values_and_units_keep_their_types():
    """Text beside numbers stays text, ints stay ints beside None, booleans beside numbers count 0 and 1."""
    pytest.importorskip("pandas")

    @pipeline_step()
    def mixed(data, ctx):
        ctx.record("win", True, unit=3)
        ctx.record("loss", 0.5)
        return data, {"label": "cat"} if data else {}

    frame = Experiment(1, [mixed]).run().to_frame()
    assert frame["value"].tolist() == [True, 0.5, "cat"]
    assert frame["unit"].tolist() == [3, None, None]
    assert Experiment(0, [mixed]).run().to_frame()["value"].tolist() == [1.0, 0.5]


def test_a_frame_of_nothing_is_empty():
    """It has its columns."""
    pytest.importorskip("pandas")

    @pipeline_step()
    def silent(data, ctx):
        return data

    assert Experiment(0, [silent]).run().to_frame().shape == (0, 7)


def test_without_pandas_the_error_names_the_extra(monkeypatch):
    """It is imported where it is used."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pytest-crystallize\[pandas\]'"):
        result().to_frame()


class Handle(PipelineStep):
    """Step with a metric in its setup and in its call."""

    def setup(self, ctx):
        ctx.add("handle", 7)

    def __call__(self, data, ctx):
        ctx.rng.random()
        ctx.artifacts.add("out.bin", b"123")
        return data, {"y": ctx["handle"]}

    def teardown(self, ctx):
        ctx.get("absent")


def test_the_tree_shows_what_was_done(capsys, tmp_path, monkeypatch):
    """By treatment, replicate and step: reads, writes, metrics, artifacts and errors."""
    monkeypatch.chdir(tmp_path)
    experiment = Experiment(
        1, [Handle, measure], treatments=[Treatment("boost", {"delta": 1})], replicates=2, name="e"
    )
    found = experiment.run()
    seeds = found.provenance["seeds"]
    assert found.print_tree("treatment > replicate > step > action") is None
    printed = capsys.readouterr().out
    boost = printed[printed.index("└── boost") :]
    assert printed.startswith("e: 2 replicates, seed 0\n├── baseline\n")
    assert (
        boost
        == f"""\
└── boost
    ├── replicate 0 (seed {seeds[0]})
    │   ├── boost (treatment)
    │   │   └── wrote delta = 1
    │   ├── Handle (setup)
    │   │   └── wrote handle = 7
    │   ├── constant
    │   ├── Handle
    │   │   ├── read handle = 7
    │   │   ├── asked for the seed, or random numbers
    │   │   ├── recorded y = 7
    │   │   └── kept out.bin (3 bytes)
    │   ├── measure
    │   │   ├── read delta = 1
    │   │   ├── recorded x [a] = 2
    │   │   ├── recorded x [b] = 2
    │   │   └── measured seconds = 0.5
    │   └── Handle (teardown)
    │       └── looked for absent, which was not there
    └── replicate 1 (seed {seeds[1]})
        ├── boost (treatment)
        │   └── wrote delta = 1
        ├── Handle (setup)
        │   └── wrote handle = 7
        ├── constant
        ├── Handle
        │   ├── read handle = 7
        │   ├── asked for the seed, or random numbers
        │   ├── recorded y = 7
        │   └── kept out.bin (3 bytes)
        ├── measure
        │   ├── read delta = 1
        │   └── raised ValueError: a reason
        └── Handle (teardown)
            └── looked for absent, which was not there
"""
    )


@pytest.mark.parametrize(
    ("levels", "lines"),
    [
        ("treatment", ["├── baseline", "└── boost"]),
        ("step", ["├── constant", "├── measure", "└── boost (treatment)"]),
        ("treatment>step", ["├── baseline", "│   ├── constant", "│   └── measure", "└── boost"]),
    ],
)
def test_levels_are_chosen(levels, lines):
    """Some of them, in any order; what is equal is shown once."""
    found = list(tree_lines("e", result().records, levels))
    assert found[0] == "e"
    assert found[1 : 1 + len(lines)] == lines


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ("treatment > epoch", "level 'epoch' of 'treatment > epoch' is unknown; allowed are 'treatment'"),
        ("", "level '' of '' is unknown"),
        ("step > step", "level 'step' is named twice"),
    ],
)
def test_unknown_levels_are_refused(levels, message):
    """The error lists those there are."""
    with pytest.raises(DefinitionError, match=message):
        result().print_tree(levels)


def test_errors_of_hooks_are_in_the_tree():
    """Under the hook's name."""

    class Faulty(BasePlugin):
        def before_step(self, experiment, step, data, ctx):
            raise OSError("no disk")

    lines = list(tree_lines("e", result(plugins=[Faulty()]).records, "step > action"))
    assert "│   └── raised OSError: no disk" in lines[lines.index("├── Faulty.before_step") :]


def test_the_tree_can_be_printed_everywhere(monkeypatch):
    """With plain characters where the encoding has no others."""
    assert encodable("│   └── é", "ascii") == "|   `-- \\xe9"
    assert encodable("│   └── é", "utf-8") == "│   └── é"
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    result().print_tree("treatment")
    stream.flush()
    assert b"`-- boost" in stream.buffer.getvalue()
