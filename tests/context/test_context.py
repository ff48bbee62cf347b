"""The immutable context."""

import datetime
import doctest
import enum
import logging
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from crystallize import Experiment, FrozenContext, Treatment, pipeline_step
from crystallize.context import context
from crystallize.context.context import journal_of
from crystallize.errors import ContextMutationError, ContextValueError, CrystallizeWarning, MetricError


class Colour(enum.Enum):
    RED = 1


class Bag:
    def __init__(self, items):
        self.items = items

    def __repr__(self):
        return f"Bag({self.items})"


def in_step(name="step", index=1, **values):
    """Return a context that is inside a step."""
    ctx = FrozenContext(values)
    journal_of(ctx).enter(name, index)
    return ctx


def test_keys_are_read_in_every_spelling():
    """`get`, `[]`, `in` and `as_dict` agree."""
    ctx = FrozenContext({"depth": 3})
    assert ctx.get("depth") == ctx["depth"] == 3
    assert ctx.get("width") is None
    assert ctx.get("width", 8) == 8
    assert "depth" in ctx
    assert "width" not in ctx
    assert 42 not in ctx
    assert ctx.as_dict() == {"depth": 3}


def test_keys_are_added_in_every_spelling():
    """`add` and item assignment add a key, whatever falsy value it has."""
    ctx = FrozenContext()
    ctx.add("a", None)
    ctx["b"] = 0
    assert ctx.as_dict() == {"a": None, "b": 0}
    assert ctx.get("a", "default") is None


def test_an_absent_key_names_those_there_are():
    """Item access raises a KeyError that lists the keys."""
    with pytest.raises(KeyError, match="no key 'c'; it has 'a', 'b'"):
        FrozenContext({"b": 1, "a": 2})["c"]
    with pytest.raises(KeyError, match="it has nothing"):
        FrozenContext()["c"]


@pytest.mark.parametrize("write", [FrozenContext.add, FrozenContext.__setitem__])
def test_a_key_is_never_replaced(write):
    """The error names the key, the old value and the new one, and the old value stays."""
    ctx = FrozenContext({"depth": 3})
    with pytest.raises(ContextMutationError, match="'depth' is 3 and can't be replaced by 4"):
        write(ctx, "depth", 4)
    with pytest.raises(ContextMutationError, match="'depth' is 3 and can't be replaced by 3"):
        write(ctx, "depth", 3)
    assert ctx["depth"] == 3


def test_a_key_is_never_deleted():
    """Deleting names the key, and its value if it has one."""
    ctx = FrozenContext({"depth": 3})
    with pytest.raises(ContextMutationError, match="'depth' is 3 and can't be deleted"):
        del ctx["depth"]
    with pytest.raises(ContextMutationError, match="'width' can't be deleted"):
        del ctx["width"]


def test_attributes_can_not_be_invented():
    """A misspelt attribute is an error, not a value that nobody reads."""
    with pytest.raises(AttributeError):
        FrozenContext().delta = 3


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1, 2], lambda v: v.append(3)),
        ({"a": [1]}, lambda v: v["a"].append(2)),
        ({1, 2}, lambda v: v.add(3)),
        (([1],), lambda v: v[0].append(2)),
        (bytearray(b"ab"), lambda v: v.extend(b"c")),
        (np.array([[1], "x"], dtype=object), lambda v: v[0].append(2)),
        (Bag([1]), lambda v: v.items.append(2)),
        ({"deep": [{"array": [np.zeros(2)], "bag": Bag([])}]}, lambda v: v["deep"][0]["bag"].items.append(1)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_nobody_can_change_what_another_one_sees(value, change):
    """Neither the giver's object nor anything handed out leads to the value inside."""
    ctx = FrozenContext({"given": value})
    before = repr(ctx["given"])
    change(value)
    change(ctx["given"])
    change(ctx.get("given"))
    change(ctx.as_dict()["given"])
    assert repr(ctx["given"]) == before


def test_arrays_come_back_as_read_only_views():
    """A large array is not copied for each reader, and none can write to it or make it writable."""
    given = np.arange(6.0).reshape(2, 3)
    ctx = FrozenContext({"array": given, "nested": {"list": [given]}})
    given[:] = 0
    for seen in (ctx["array"], ctx.as_dict()["array"], ctx["nested"]["list"][0]):
        np.testing.assert_array_equal(seen, np.arange(6.0).reshape(2, 3))
        with pytest.raises(ValueError, match="read-only"):
            seen[0, 0] = 9
        with pytest.raises(ValueError, match="WRITEABLE"):
            seen.setflags(write=True)
    assert np.shares_memory(ctx["array"], ctx["array"])
    assert ctx["array"] is not ctx["array"]


@pytest.mark.parametrize(
    "value",
    [
        *(1, 2.5, True, None, "text", b"bytes", 1j, ..., range(3)),
        *(Fraction(1, 3), datetime.date(2026, 1, 2), Colour.RED, Path("a"), np.float32(1.5), np.dtype("f8")),
        *(len, Bag, threading),
    ],
    ids=repr,
)
def test_immutable_values_come_back_themselves(value):
    """What can't change is not copied."""
    assert FrozenContext({"value": value})["value"] is value


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), [threading.Lock()], {"a": {"b": threading.Lock()}}, (x for x in ()), memoryview(b"")],
    ids=lambda v: type(v).__name__,
)
def test_values_that_can_not_be_copied_are_refused(value):
    """The error names the key and the type, and says what to do instead."""
    with pytest.raises(ContextValueError, match=r"'handle' can't be kept immutable: .*resource_factory"):
        FrozenContext({"handle": value})
    with pytest.raises(ContextValueError, match="'handle'"):
        FrozenContext().add("handle", value)


def test_a_value_that_contains_itself_is_refused():
    """There is no end to copying it."""
    endless = []
    endless.append(endless)
    with pytest.raises(ContextValueError, match="contains itself"):
        FrozenContext({"endless": endless})


def test_keys_are_strings():
    """Another key is refused by name."""
    with pytest.raises(ContextValueError, match="key 3 is a int; keys are strings"):
        FrozenContext({3: 1})
    with pytest.raises(ContextValueError, match="key 3 is a int"):
        FrozenContext().add(3, 1)


def test_reads_and_writes_are_traced():
    """Each look-up is traced once, with the value shown; an absent key is a read too."""
    ctx = in_step(depth=3, width=4)
    ctx.get("depth")
    ctx["depth"]
    ctx.get("height", 1)
    assert "breadth" not in ctx
    assert "width" in ctx
    ctx.add("height", [1, 2])
    (scope,) = ctx.scopes
    assert (scope.name, scope.index) == ("step", 1)
    assert scope.reads == {"depth": 3, "width": 4}
    assert scope.absent == ["height", "breadth"]
    assert scope.writes == {"height": "[1, 2]"}
    assert not scope.seeded


def test_keys_that_a_step_wrote_itself_are_not_read():
    """A read tells what a step depends on, and it does not depend on itself."""
    ctx = in_step()
    ctx.add("a", 1)
    assert ctx["a"] == 1
    assert ctx.scopes[0].reads == {}
    journal_of(ctx).enter("next", 2)
    assert ctx["a"] == 1
    assert ctx.scopes[1].reads == {"a": 1}
    assert ctx.scopes[1].writes == {}


def test_as_dict_reads_every_key():
    """Whoever asks for everything depends on everything."""
    ctx = in_step(a=1, b=2)
    ctx.as_dict()
    assert ctx.scopes[0].reads == {"a": 1, "b": 2}


def test_a_failed_write_is_not_traced():
    """What was refused did not happen."""
    ctx = in_step(a=1)
    with pytest.raises(ContextMutationError):
        ctx.add("a", 2)
    with pytest.raises(ContextValueError):
        ctx.add("b", threading.Lock())
    assert ctx.scopes[0].writes == {}
    assert "b" not in ctx


def test_asking_for_randomness_is_traced():
    """Both `seed` and `rng` make a part depend on the seed."""
    for ask in (lambda ctx: ctx.seed, lambda ctx: ctx.rng):
        ctx = in_step()
        assert not ctx.scopes[0].seeded
        ask(ctx)
        ask(ctx)
        assert ctx.scopes[0].seeded


def test_randomness_of_a_context_made_by_hand_comes_from_its_seed():
    """Equal seeds give equal numbers, others others; they are those of replicate 0 under that root seed."""
    assert FrozenContext(seed=7).seed == FrozenContext(seed=7).seed != FrozenContext(seed=8).seed
    assert FrozenContext(seed=7).rng.random() == FrozenContext(seed=7).rng.random()
    assert FrozenContext().seed == 2735729615
    with pytest.raises(ValueError, match="root seed is an integer >= 0"):
        FrozenContext(seed=-1)


def test_each_step_has_its_own_generator():
    """What one step draws moves no other step's numbers, and coming back to it starts anew."""
    ctx = in_step("a", 1)
    first = ctx.rng.random(3)
    journal_of(ctx).enter("b", 2)
    second = ctx.rng.random(3)
    alone = in_step("b", 2)
    np.testing.assert_array_equal(alone.rng.random(3), second)
    assert not np.array_equal(first, second)
    assert ctx.rng is ctx.rng


def test_record_is_metrics_add():
    """Both spellings record the same, with unit and `measured`."""
    ctx = in_step()
    ctx.record("x", 1, unit="case", measured=True)
    ctx.metrics.add("x", 1, unit="case", measured=True)
    one, other = ctx.metrics.entries
    assert one == other == ("x", 1, "case", True, "step")


def test_a_context_shows_its_values_and_has_a_logger():
    """The representation is short, and the logger is the package's."""
    assert repr(FrozenContext({"a": 1, "b": list(range(99))})) == "FrozenContext(a=1, b='<list of 99>')"
    assert FrozenContext().logger is logging.getLogger("crystallize")


def test_examples_in_docstrings_are_true():
    """What the docstrings show is what happens."""
    assert doctest.testmod(context).failed == 0


def test_a_context_answers_to_the_keys_of_its_run():
    """By `get`, look-up and `in`, unless such a key is set; they are no values, and no default gives way."""
    seen = {}

    @pipeline_step()
    def look(data, ctx, *, condition="warm", replicate):
        seen[ctx.condition, ctx.replicate] = (
            ctx.get("condition"),
            ctx["replicate"],
            ctx.get("seed_used") == ctx.seed,
            "condition" in ctx,
            ctx.as_dict(),
            condition,
            replicate,
        )
        return data

    Experiment(0, [look], treatments=[Treatment("own", {"condition": "hot"})], replicates=2).run()
    assert seen == {
        ("baseline", 0): ("baseline", 0, True, True, {}, "warm", 0),
        ("baseline", 1): ("baseline", 1, True, True, {}, "warm", 1),
        ("own", 0): ("hot", 0, True, True, {"condition": "hot"}, "hot", 0),
        ("own", 1): ("hot", 1, True, True, {"condition": "hot"}, "hot", 1),
    }


def test_a_cached_step_knows_that_it_asked_for_its_run(tmp_path, monkeypatch):
    """What one condition or replicate gave never stands for another's."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))

    @pipeline_step(cacheable=True)
    def told(data, ctx):
        return data, {"who": f"{ctx.get('condition')} {ctx['replicate']}"}

    experiment = Experiment(0, [told], treatments=[Treatment("other", {"unread": 1})], replicates=2)
    for _ in range(2):
        with pytest.warns(CrystallizeWarning, match="which nothing read"):
            metrics = experiment.run().metrics
        assert metrics.baseline["who"] == ["baseline 0", "baseline 1"]
        assert metrics.treatments["other"]["who"] == ["other 0", "other 1"]


def test_notes_are_kept_and_bounded():
    """They are plain data with a name; what is too long is cut, and there is an end to their number."""
    ctx = FrozenContext()
    ctx.note("answer", "yes")
    ctx.note("reply", {"tokens": np.int64(3), "parts": ("a", None)})
    ctx.note("long", "x" * 5000)
    notes = journal_of(ctx).notes
    assert notes[:2] == (("answer", "yes"), ("reply", {"tokens": 3, "parts": ["a", None]}))
    assert notes[2] == ("long", "x" * 4000 + " ... (1000 characters more)")
    for number in range(97):
        ctx.note("again", number)
    for name, told in (("", "is named ''"), ("o", "one more than the 100 of a run")):
        with pytest.raises(MetricError, match=told):
            ctx.note(name, 1)
    with pytest.raises(MetricError, match="note 'o' of 'run' holds a "):
        FrozenContext().note("o", object())
