"""From verdicts to lines of text."""

import math
import shlex

import pytest
from _pytest._io.wcwidth import wcswidth
from hypothesis import example, given
from hypothesis import strategies as st
from laws import examples

from crystallize import Verdict
from crystallize.report.model import ExperimentResults, Outcome, Used
from crystallize.report.wording import counted_list, duration, ranges
from crystallize.text.formatting import compared, counted, effect, interval, number, p_value
from pytest_crystallize.report.terminal import experiment_lines
from pytest_crystallize.report.text import table, wrapped

laws = examples(80)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150)
values = st.none() | st.floats(allow_nan=False) | st.integers(-(10**20), 10**20)


def visible(text):
    return "".join(char for char in text if char.isprintable() and not char.isspace())


@laws
@given(st.text(), st.integers(10, 120))
@example("00000000000\x1f\x1f\x1f⺀⺀", 10)
def test_wrapped(text, width):
    """No line is wider than asked for, all are printable, and no visible character is lost."""
    lines = list(wrapped(text, width))
    for line in lines:
        assert wcswidth(line) <= width
        assert line.isprintable()
    assert visible("".join(lines)).startswith(visible(text)) or not text.isprintable()


def verdict(status="supported", **changes):
    """Return a row of a summary."""
    row = Verdict("h", "t", "m", status, p_value=0.01, alpha=0.05, test="paired t", n=30).to_dict()
    return row | {"outcome": "passed", "place": 0, "expected": ""} | changes


def experiment(name, tests, means, node=""):
    """Return the results of an experiment without runs."""
    return ExperimentResults(
        id=name,
        name=name,
        where="a.py:1",
        seed=0,
        seed_drawn=False,
        planned=30,
        run=30,
        conditions=("baseline",),
        off=(),
        condition_runs=30,
        cached=0,
        seconds={"baseline": 1.0},
        digests={},
        seeds=(),
        samples={},
        measured=(),
        tests=tuple(tests),
        failures=(),
        notes=(),
        node=node,
        used=Used(("baseline",), 30, 1.0, means=means),
    )


@laws
@given(
    st.lists(
        st.tuples(
            names,
            names,
            names,
            values,
            values,
            st.sampled_from(["supported", "refuted", "inconclusive", "invalid"]),
            st.booleans(),
        ),
        max_size=4,
    ),
    names,
    st.sampled_from(["", "a b.py::e", "精度" * 36 + ".py::e"]),
    st.integers(80, 200),
    st.dictionaries(names, st.dictionaries(names, st.none() | st.floats(), max_size=2), max_size=2),
)
@example([("精度" * 40, "t", "m", 1, 2, "supported", True)], "e", "", 80, {})
@example([("a\nb", "\x1b[31m", "m\t", 1e300, -1e300, "invalid", True)], "e", "a.py::e", 80, {})
def test_lines_of_an_experiment(verdicts, name, node, width, metrics):
    """Whatever the names: no line but a node id too wide, none unprintable, no verdict lost."""
    tests = [
        Outcome(
            "",
            h,
            t,
            "xfailed",
            "",
            verdict=Verdict(
                h,
                t,
                m,
                s,
                "because " + h,
                p_value=0.01,
                alpha=0.05,
                test="paired t",
                n=30,
                baseline_mean=b,
                treatment_mean=d,
                difference=d,
                degenerate=g,
            ),
        )
        for h, t, m, b, d, s, g in verdicts
    ]
    lines = list(experiment_lines(experiment(name, tests, metrics, node), width))
    assert lines[0].startswith(shlex.quote(node) if node else "")
    for line in lines:
        assert line.isprintable()
        assert wcswidth(line) <= width or line == shlex.quote(node)
    text = "\n".join(lines)
    words = [entry[5].upper() for entry in verdicts]
    for word in set(words):
        assert text.count(word) >= words.count(word)


@laws
@given(st.lists(names, min_size=1, max_size=3), st.integers(80, 200))
def test_table_aligns(labels, width):
    """The numbers of a table are aligned, right-aligned under their headings."""
    lines = [
        line for line in table([verdict(treatment=label) for label in labels], width) if "SUPPORTED" in line
    ]
    assert len({wcswidth(line) - wcswidth(line[line.index("SUPPORTED") :]) for line in lines}) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1.0, "1"),
        (0.123456, "0.1235"),
        (1e-9, "1e-09"),
        (123456.0, "1.235e+05"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_number(value, text):
    """Numbers have four significant digits."""
    assert number(value) == text


def test_sign():
    """Differences carry a sign."""
    assert [number(value, sign=True) for value in (1, -1, 0, None)] == ["+1", "-1", "0", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "<0.001"),
        (0.00099, "<0.001"),
        (0.001, "0.001"),
        (0.05, "0.050"),
        (0.9999, "1.000"),
        (1.0, "1.000"),
        (1, "1.000"),
    ],
)
def test_p_value(value, text):
    """p-values have three decimals, and are never shown as 0."""
    assert p_value(value) == text


@pytest.mark.parametrize(
    ("value", "level", "text"),
    [
        (0.0496, 0.05, "0.0496"),
        (0.0504, 0.05, "0.0504"),
        (0.05, 0.05, "0.050"),
        (0.049999997, 0.05, "0.049999997"),
        (0.03, 0.05, "0.030"),
        (0.0004, 0.05, "<0.001"),
        (0.0004, 0.0001, "0.0004"),
        (0.00004, 0.0001, "4e-05"),
        (0.0, 0.0001, "<2e-308"),
        (0.9996, 0.05, "1.000"),
    ],
)
def test_p_value_and_its_level(value, level, text):
    """A p-value has digits enough to be seen on its side of the level."""
    assert p_value(value, level) == text


@laws
@given(st.floats(0, 1, exclude_min=True), st.floats(0, 1, exclude_min=True))
@example(0.05, math.nextafter(0.05, 1))
def test_p_value_never_crosses_its_level(value, level):
    """As shown, it is on the side of the level on which it is; so is it beside the level as shown."""
    shown = p_value(value, level)
    number_shown = 0.0 if shown.startswith("<") else float(shown)
    assert value == level or (number_shown > level) == (value > level)
    beside, limit = map(float, compared(value, level))
    assert (beside > limit, beside < limit) == (value > level, value < level)


def test_what_rounding_leaves_is_nothing():
    """A difference below the precision of what is subtracted is 0; a small one of small numbers is not."""
    assert number(5.551e-18, sign=True, scale=0.1) == "0"
    assert number(5.551e-18, sign=True, scale=1e-17) == "+5.551e-18"
    assert effect(5.551e-18, relative=True, scale=1.0) == "0 %"
    assert interval((-5e-17, 0.3), scale=0.3) == "[0, 0.3]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (1.234, "1.23 s"),
        (9.999, "10.00 s"),
        (59.94, "59.9 s"),
        (119.9, "119.9 s"),
        (120, "2 min 0 s"),
        (3599.6, "60 min 0 s"),
    ],
)
def test_duration(seconds, text):
    """A time has a unit that suits it."""
    assert duration(seconds) == text


def test_counted():
    """Nouns agree with their number."""
    assert [counted(n, "replicate") for n in (0, 1, 2)] == ["0 replicates", "1 replicate", "2 replicates"]


@laws
@given(st.sets(st.integers(0, 100), min_size=1))
def test_ranges(numbers):
    """Ranges name exactly the given numbers."""
    found = set()
    for part in ranges(sorted(numbers)).split(", "):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def test_counted_list():
    """Lists of replicates are written with ranges."""
    assert counted_list([4]) == "replicate 4"
    assert counted_list([1, 2, 3, 7]) == "replicates 1-3, 7"


def test_an_interval_beside_its_margin():
    """It is seen on which side each end lies, or that it lies on it."""
    assert interval((-0.10004, 0.5)) == "[-0.1, 0.5]"
    assert interval((-0.10004, 0.5), margin=0.1) == "[-0.10004, 0.5]"
    assert interval((-0.09996, 0.5), margin=0.1) == "[-0.09996, 0.5]"
    assert interval((-0.1, 0.1000004), margin=0.1) == "[-0.1, 0.1000004]"
    assert interval((0.02 / 3, 0.0199996), relative=True, margin=0.02) == "[0.667, 1.99996] %"
    assert interval((0.50004, 0.7)) == "[0.5, 0.7]"
    assert interval((0.50004, 0.7), null=0.5) == "[0.50004, 0.7]"
    assert interval((0.49996, 0.60004), null=0.5, margin=0.1) == "[0.49996, 0.60004]"
