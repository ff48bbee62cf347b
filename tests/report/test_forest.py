"""The effects of all treatments over one axis, and the rows of a page that they stand in."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize import Experiment, Hypothesis, Treatment, Verdict, pipeline_step
from crystallize.report.forest import Effect, Forest
from crystallize.report.wording import claim_sentence

SVG = "{http://www.w3.org/2000/svg}"


def verdict(**changes):
    fields = {
        "status": "supported",
        "direction": "increase",
        "difference": 1.0,
        "interval": (0.5, 1.5),
        "n": 8,
    }
    return Verdict("h", "t", "m", **{**fields, **changes})


def drawn(strip):
    return [(path.get("class"), path.get("d")) for path in ElementTree.fromstring(strip).iter(f"{SVG}path")]


def test_all_effects_share_an_axis():
    """Where there is no difference, and where the margin is, stands at the same place in each strip."""
    claim = verdict(direction="equal", margin=2.0)
    effects = [
        Effect.of(claim, [0.5, 1.0], "good"),
        Effect.of(verdict(difference=-3.0, interval=(-4, -2)), [], "bad"),
    ]
    forest = Forest.over(claim, effects)
    first, second = (drawn(forest.strip(effect)) for effect in effects)
    uprights = [entry for entry in first if entry[0] in ("zero", "margin")]
    assert [kind for kind, _ in uprights] == ["zero", "margin", "margin"]
    assert uprights == [entry for entry in second if entry[0] in ("zero", "margin")]
    assert uprights == drawn(forest.strip(None))
    assert dict(first)["dot"].count("M") == 2
    assert "dot" not in dict(second)
    labels = [label for _, label in forest.ticks()]
    assert {"-4", "0", "2"} <= set(labels)
    assert forest.part(0.0) == pytest.approx(next(at for at, label in forest.ticks() if label == "0"))


def test_samples_do_not_squeeze_the_intervals():
    """Of dots that lie far out, only a number is told."""
    effect = Effect.of(verdict(), [1.0, 1e6, -1e6], "good")
    forest = Forest.over(verdict(), [effect])
    assert forest.beyond == 2
    assert forest.high < 10
    assert dict(drawn(forest.strip(effect)))["dot"].count("M") == 1


def test_open_ends_have_heads_and_what_is_undecided_is_hollow():
    """An interval without end reaches the edge, and the mark tells the verdict without its colour."""
    effect = Effect.of(verdict(interval=(0.5, math.inf)), [], "unsure")
    forest = Forest.over(verdict(), [effect])
    kinds = [kind for kind, _ in drawn(forest.strip(effect))]
    assert kinds == ["zero", "ci unsure", "ci unsure", "estimate unsure", "hollow"]


@pytest.mark.parametrize("difference", [None, math.nan, math.inf, 1e305])
def test_what_can_not_be_drawn_has_no_axis(difference):
    """Neither no effect nor one without a number."""
    found = Effect.of(verdict(difference=difference, interval=None), [], "bad")
    assert found is None
    assert Forest.over(verdict(), []) is None


@examples(200)
@given(
    differences=st.lists(st.floats(), min_size=1, max_size=4),
    interval=st.one_of(st.none(), st.tuples(st.floats(), st.floats())),
    dots=st.lists(st.floats(), max_size=100),
    margin=st.one_of(st.none(), st.floats(min_value=0, max_value=1e300)),
    relative=st.booleans(),
)
def test_every_effect_can_be_drawn(differences, interval, dots, margin, relative):
    """Whatever the numbers, strips are well-formed, and their coordinates are finite and inside."""
    claims = [
        verdict(difference=d, interval=interval, margin=margin, relative=relative, direction="equal")
        for d in differences
    ]
    effects = [Effect.of(claim, dots, "good") for claim in claims]
    forest = Forest.over(claims[0], [effect for effect in effects if effect is not None])
    for effect in effects if forest is not None else ():
        for _, d in drawn(forest.strip(effect)):
            for x, y in re.findall(r"[ML]([^ ]+) ([^hML]+)", d):
                assert 0 <= float(x) <= 1000
                assert 0 <= float(y) <= 40


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"baseline_mean": 0.5}, "m increases, compared with the baseline (mean 0.5)."),
        ({"at_least": 0.25}, "m increases by at least 0.25, compared with the baseline."),
        (
            {"direction": "no_decrease", "margin": 0.1, "relative": True},
            "m decreases by no more than 10 %, compared with the baseline.",
        ),
        (
            {"direction": "equal", "margin": 2.0, "comparator": "treatment", "against": "old"},
            "m changes by no more than 2, compared with old.",
        ),
        (
            {"direction": "no_increase", "detects": 2.0},
            "No increase of m is seen, and one of 2 would be, compared with the baseline.",
        ),
        ({"comparator": "number", "against": "0.5"}, "m increases, compared with 0.5."),
        (
            {"direction": "differ", "comparator": "pair", "against": "a"},
            "m differs between each two conditions.",
        ),
        ({"direction": "", "test": "own"}, "own decides by m."),
    ],
)
def test_a_claim_is_said_in_a_sentence(changes, sentence):
    """What is claimed of which metric, by how much, and against what."""
    assert claim_sentence(verdict(**changes).to_dict()) == sentence


@pipeline_step()
def measure(data, ctx, *, delta=0.0):
    return data, {"x": ctx.rng.normal() + delta * ctx.rng.uniform(), "size": 100.0 - delta}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the page of a result with five treatments, and the result."""
    directory = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        result = Experiment(
            0,
            [measure],
            name="demo",
            treatments=[Treatment(f"by {i}", {"delta": float(i)}) for i in (-2, -1, 1, 2, 3)],
            hypotheses=[
                Hypothesis(metric="x", direction="increase"),
                Hypothesis(metric="size", direction="decrease", deterministic=True),
            ],
            replicates=30,
        ).run()
    result.report(directory / "page.html")
    text = (directory / "page.html").read_text(encoding="utf-8")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n")), result


def rows_of(page, hypothesis):
    """Return the text of the cells of a plot's rows, by the classes of their columns."""
    tables = page.iter("{http://www.w3.org/1999/xhtml}table")
    (table,) = (t for t in tables if t[0].text == f"Effects on {hypothesis}")
    return [{cell.get("class"): "".join(cell.itertext()) for cell in row} for row in table[2]]


def test_a_hypothesis_has_one_plot_of_all_treatments(page):
    """A row has name, strip, mean, effect, interval, p, n and verdict; rows are in the conditions' order."""
    root, result = page
    rows = rows_of(root, "x_increase")
    assert [row["name"] for row in rows] == [f"by {i}" for i in (-2, -1, 1, 2, 3)]
    verdicts = result.get_hypothesis("x_increase").verdicts
    for row in rows:
        known = verdicts[row["name"]]
        assert list(row) == ["name", "strip", "mean", "effect", "interval", "p", "n", "verdict"]
        assert float(row["effect"]) == pytest.approx(known.difference, rel=1e-3)
        assert row["interval"].startswith(f"[{known.interval[0]:.3g}, ")
        assert float(row["mean"]) == pytest.approx(known.treatment_mean, rel=1e-3)
        assert known.status.upper() in row["verdict"]


def test_deterministic_results_are_told_as_such(page):
    """Neither interval nor p-value is shown of what is exact."""
    root, _ = page
    rows = rows_of(root, "size_decrease")
    assert [(row["effect"], row["interval"], row["p"]) for row in rows[:2]] == [
        ("+2", "exact", "no test"),
        ("+1", "exact", "no test"),
    ]
    assert "Deterministic: no seed changes these values" in "".join(root.itertext())


def test_the_page_ends_with_the_provenance(page):
    """Root seed, digests of the metrics, environment and machine."""
    root, result = page
    sections = root.iter("{http://www.w3.org/1999/xhtml}section")
    text = "".join(next(s for s in sections if s.get("class") == "provenance").itertext())
    assert f"demo{result.root_seed}baseline " in text
    assert f"numpy {result.provenance['versions']['numpy']}" in text
    assert " cores" in text
    assert "none declared" in text
