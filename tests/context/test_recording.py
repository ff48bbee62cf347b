"""Metrics and artifacts as they are recorded."""

import enum
import json
import math

import numpy as np
import pytest

from crystallize import FrozenContext
from crystallize.context.context import journal_of
from crystallize.context.recording import is_finite, is_number
from crystallize.errors import ArtifactError, MetricError


@pytest.fixture
def ctx():
    context = FrozenContext()
    journal_of(context).enter("train", 1)
    return context


class Name(enum.StrEnum):
    A = "a"


class Tensor:
    """Holder of one number, as tensors of other packages are."""

    shape = (1, 1)

    def item(self):
        return 0.25

    def __repr__(self):
        return "tensor"


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1, 1),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ("text", "text"),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Name.A, "a"),
        (Level.LOW, 1),
        ((1, np.float64(2)), [1, 2.0]),
        ({"a": [np.int8(1)], Name.A: None}, {"a": None}),
        ({"deep": {"er": (1,)}}, {"deep": {"er": [1]}}),
        (np.array(0.5), 0.5),
        (np.array([[3]]), 3),
        (np.array([True]), True),
        (np.array([0.5], dtype=object), 0.5),
        ([np.array([0.5]), Tensor()], [0.5, 0.25]),
        (Tensor(), 0.25),
        (np.ma.array([0.5], mask=[False]), 0.5),
    ],
    ids=repr,
)
def test_values_become_exact_json_types(ctx, value, kept):
    """Scalars of numpy, enums and tuples are converted; types are exact."""
    ctx.metrics.add("m", value)
    (entry,) = ctx.metrics.entries
    assert entry.value == kept
    assert type(entry.value) is type(kept)
    assert json.loads(json.dumps(entry.value)) == kept


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.nan, -0.0, np.array(-0.0), np.array(np.nan)]
)
def test_every_float_is_recorded(ctx, value):
    """What a nan means is for the verdict to say."""
    ctx.record("m", value)
    assert repr(ctx.metrics.entries[0].value) == repr(float(value))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "builtins.object"),
        (np.zeros(2), r"numpy.ndarray of shape \(2,\), not one number; .*mean\(\), or each .*unit="),
        (np.zeros((2, 0)), "numpy.ndarray"),
        (np.array(1j), "complex"),
        (np.array(object()), "builtins.object"),
        (np.complex128(1), "complex"),
        (1j, "complex"),
        (b"x", "bytes"),
        ({1, 2}, "set"),
        ([1, {"a": object()}], "builtins.object"),
        (np.longdouble(1), "longdouble"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_json_can_not_carry_is_refused_by_name(ctx, value, named):
    """The error names metric, step and type, and says what is allowed."""
    with pytest.raises(MetricError, match=rf"metric 'acc' of 'train' holds a .*{named}"):
        ctx.metrics.add("acc", value)
    assert ctx.metrics.entries == []


def test_what_is_masked_is_no_number(ctx):
    """What an array holds behind its mask was not measured."""
    ctx.record("m", np.ma.masked)
    ctx.record("m", np.ma.array([0.5], mask=[True]))
    assert all(math.isnan(entry.value) for entry in ctx.metrics.entries)


def test_mappings_have_string_keys(ctx):
    """JSON would turn other keys into strings unasked."""
    with pytest.raises(MetricError, match="metric 'm' of 'train' is a mapping with key 1; keys are strings"):
        ctx.record("m", {1: 2})


def test_endless_and_huge_values_are_refused(ctx):
    """Neither a list that contains itself nor an integer beyond floats can be evidence."""
    endless = []
    endless.append(endless)
    with pytest.raises(MetricError, match="'m' of 'train' contains itself"):
        ctx.record("m", endless)
    with pytest.raises(MetricError, match="'m' of 'train' is an integer of 33220 bits"):
        ctx.record("m", 10**10000)
    ctx.record("m", 10**300)


@pytest.mark.parametrize("name", ["", None, 3, b"m", ["m"]])
def test_metrics_have_names(ctx, name):
    """The error names the step."""
    with pytest.raises(MetricError, match=r"a metric of 'train' is named .*non-empty string"):
        ctx.metrics.add(name, 1)


@pytest.mark.parametrize(("unit", "kept"), [("case 1", "case 1"), (3, 3), (np.int64(3), 3), (Name.A, "a")])
def test_units_name_cases(ctx, unit, kept):
    """A unit is a string or an integer."""
    ctx.metrics.add("m", 1, unit=unit)
    assert ctx.metrics.entries[0].unit == kept
    assert type(ctx.metrics.entries[0].unit) is type(kept)


@pytest.mark.parametrize("unit", [1.5, True, ("a",), [3]], ids=repr)
def test_other_units_are_refused(ctx, unit):
    """The error names metric and step."""
    with pytest.raises(MetricError, match="metric 'm' of 'train' has unit"):
        ctx.metrics.add("m", 1, unit=unit)


def test_recorded_values_are_snapshots(ctx):
    """A list that is changed later was recorded as it was."""
    losses = [1.0]
    ctx.record("losses", losses)
    losses.append(0.5)
    assert ctx.metrics.entries[0].value == [1.0]


def test_artifacts_are_bytes_under_a_plain_name(ctx):
    """Any kind of bytes is kept as bytes, with the step that made it."""
    ctx.artifacts.add("model.bin", bytearray(b"ab"))
    ctx.artifacts.add("other.bin", memoryview(b"cd"))
    assert [entry[:3] for entry in ctx.artifacts.entries] == [
        ("model.bin", b"ab", "train"),
        ("other.bin", b"cd", "train"),
    ]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", "CON", "nul.txt", "x.", "a\x00b", "x" * 300, 3])
def test_artifact_names_stay_in_their_directory(ctx, name):
    """A name that is unsafe on any platform is refused, with the reason."""
    with pytest.raises(ArtifactError, match="of 'train' can't be written: it "):
        ctx.artifacts.add(name, b"")


def test_artifacts_that_are_no_bytes_are_refused(ctx):
    """Text needs an encoding, which the error says."""
    with pytest.raises(ArtifactError, match=r"is a str; give bytes, as in text.encode\(\)"):
        ctx.artifacts.add("a.txt", "text")


def test_a_step_adds_each_name_once(ctx):
    """Some file systems do not tell upper from lower case, so neither does this; another step may use it."""
    ctx.artifacts.add("a.txt", b"")
    with pytest.raises(ArtifactError, match=r"'A.txt' was added twice by 'train'"):
        ctx.artifacts.add("A.txt", b"")
    journal_of(ctx).enter("test", 2)
    ctx.artifacts.add("a.txt", b"")
    assert len(ctx.artifacts.entries) == 2


def test_what_counts_as_a_number():
    """Booleans are numbers, and integers beyond floats are not finite."""
    assert is_number(True)
    assert not is_number("1")
    assert is_finite(1)
    assert not any(map(is_finite, [math.nan, math.inf, 10**400, None, "1"]))
