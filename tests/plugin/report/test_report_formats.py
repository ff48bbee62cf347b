"""The formats of a report: pure functions of what a session gave."""

import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import examples

from crystallize import Verdict
from crystallize.report.drawing import MOST_DOTS
from crystallize.report.html import html_report
from crystallize.report.json import json_report
from crystallize.report.markdown import code, markdown_report, text
from crystallize.report.model import ExperimentResults, Failure, Outcome, SessionResults
from crystallize.report.plots import estimation_plot, looks_plot

DOCS = Path(__file__).parent.parent.parent.parent / "docs" / "reports.md"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    "a | b",
    "`tick` ``two``",
    "[link](javascript:alert(1))",
    "![image](http://example.org/x.png)",
    "</details></table></svg><h1>x",
    '" onload="alert(1)',
    "' onload='alert(1)",
    "&lt;b&gt; &amp;",
    "**bold** __init__ ~~gone~~",
    "@everyone #12",
    "line\nbreak\r\nand\ttab",
    "ünï 中文 🙂",
    "nul\x00 bell\x07 bidi\u202e lone\ud800",
    "]]> <!-- comment",
    "www.example.org https://example.org",
]


def verdict(**changes):
    fields = {
        "p_value": 0.01,
        "alpha": 0.05,
        "level": 0.05,
        "test": "paired t",
        "n": 3,
        "baseline_mean": 2.0,
        "treatment_mean": 3.0,
        "difference": 1.0,
        "interval": (0.5, 1.5),
        "confidence": 0.95,
        "direction": "increase",
        "planned": 3,
    }
    return Verdict("m_increase", "boost", "m", **{"status": "supported", **fields, **changes})


def outcome(found=None, **changes):
    fields = {"outcome": "passed", "command": "pytest --crystallize 'a.py::e::h[t]'"}
    names = ("m_increase", "boost") if found is None else (found.hypothesis, found.treatment)
    fields |= {"test": f"a.py::e::{names[0]}[{names[1]}]", "hypothesis": names[0], "treatment": names[1]}
    return Outcome(**{**fields, "verdict": found, **changes})


def experiment(*tests, **changes):
    fields = {
        "id": "a.py::experiment_e",
        "name": "experiment_e",
        "where": "a.py:3",
        "seed": 0,
        "seed_drawn": False,
        "planned": 3,
        "run": 3,
        "conditions": ("baseline", "boost"),
        "off": (),
        "condition_runs": 6,
        "cached": 0,
        "seconds": {"baseline": 0.5, "boost": 0.25},
        "digests": {"baseline": "aa", "boost": "bb"},
        "seeds": (11, 12, 13),
        "samples": {"m": {"baseline": [1.0, 2.0, 3.0], "boost": [2.0, 3.0, 4.0]}},
        "measured": (),
        "failures": (),
        "notes": (),
    }
    return ExperimentResults(**{**fields, "tests": tests, **changes})


def session(*experiments, **changes):
    fields = {
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
        "exit_status": 1,
        "arguments": ("--crystallize",),
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": {"python": "3.11.9"},
        "experiments": experiments,
    }
    return SessionResults(**{**fields, **changes})


def named(name):
    """Return a session in which everything that others name has this name."""
    found = replace(
        verdict(reason=f"because of {name}", caveat=name, population=name, test=name, status="refuted"),
        hypothesis=name,
        treatment=name,
        metric=name,
    )
    failure = Failure(name, (0, 2), 7, name, f"ValueError: {name}", f"{name}\nE  {name}", f"pytest '{name}'")
    one = experiment(
        outcome(found, command=f"pytest '{name}'", outcome="xfailed", expected=name),
        outcome(None, hypothesis=name, treatment=name, outcome="skipped", message=name),
        name=name,
        where=name,
        conditions=("baseline", name),
        off=(name,),
        samples={name: {"baseline": [1.0, 2.0, 3.0], name: [2.0, 3.0, 4.0]}},
        seconds={"baseline": 0.1, name: 0.1},
        digests={"baseline": "aa", name: "bb"},
        failures=(failure,),
        notes=(name,),
    )
    return session(one, replace(one, id="other"), arguments=("--crystallize", "-k", name), notes=(name,))


def shown(name):
    """Return a name as reports show it: what can't be printed is escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)


class Page(HTMLParser):
    """Page as a browser would read it: elements with their attributes, and the text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] != "style":
            self.text += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def having(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def parsed(page):
    """Return the root of a page, which has to be well-formed XML."""
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


# Of all formats.


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], ("No hypotheses tested", "")),
        ([outcome(verdict())], ("1 of 1 hypothesis supported", "")),
        (
            [outcome(verdict()), outcome(verdict(status="refuted"), outcome="failed")],
            ("1 of 2 hypotheses supported", "1 refuted"),
        ),
        (
            [
                outcome(verdict(status="invalid"), outcome="failed"),
                outcome(verdict(status="inconclusive"), outcome="xfailed"),
                outcome(outcome="not run"),
                outcome(outcome="skipped"),
                outcome(hypothesis="", treatment=""),
            ],
            ("0 of 4 hypotheses supported", "1 inconclusive (1 expected), 1 invalid, 1 skipped, 1 not run"),
        ),
        (
            [outcome(hypothesis="", treatment="", outcome="failed")],
            ("No hypotheses tested", "1 experiment without hypotheses failed"),
        ),
        (
            [outcome(verdict(), outcome="error"), outcome(verdict(), outcome="failed"), outcome(verdict())],
            ("3 of 3 hypotheses supported", "2 tests failed in spite of their verdicts"),
        ),
        (
            [outcome(calibration={"status": "calibrated"}), outcome(calibration={"status": "miscalibrated"})],
            ("1 of 2 hypotheses calibrated", "1 miscalibrated"),
        ),
    ],
)
def test_the_headline_counts_every_hypothesis(outcomes, expected):
    """What has no verdict is in the denominator; what is no hypothesis is not."""
    assert session(experiment(*outcomes), exit_status=0).headline() == expected


# JSON.


def test_json_holds_everything_exactly():
    """Floats come back bit for bit, and what JSON lacks is text."""
    values = [0.1 + 0.2, 5e-324, -0.0]
    found = verdict(details={"nan": math.nan}, interval=(-math.inf, 1.5))
    one = experiment(outcome(found), samples={"m": {"baseline": values, "boost": [None, math.nan, "a"]}})
    loaded = json.loads(json_report(session(one)))
    assert loaded["schema"] == "crystallize-report-1"
    (back,) = loaded["experiments"]
    assert list(map(repr, back["samples"]["m"]["baseline"])) == list(map(repr, values))
    assert back["samples"]["m"]["boost"] == [None, "nan", "a"]
    assert back["tests"][0]["verdict"]["interval"] == ["-inf", 1.5]
    assert back["tests"][0]["verdict"]["details"] == {"nan": "nan"}


def test_every_field_is_documented():
    """The guide's tables name the fields of the session, experiments, tests and verdicts, and no others."""
    found = outcome(verdict(), calibration={})
    data = json.loads(json_report(session(experiment(found))))
    documented = [
        {
            name
            for row in re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", row)
        }
        for table in DOCS.read_text(encoding="utf-8").split("| field | |\n")[1:]
    ]
    documented[-1] -= {"pytest_crystallize_record", "experiment", "record", "pytest_crystallize_verdict"}
    documented[-1] -= {"pytest_crystallize_report", "results"}
    one = data["experiments"][0]
    test = one["tests"][0]
    assert documented == [set(data), set(one), set(test), set(test["verdict"])]


# Names of all kinds.


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_the_page(name):
    """No name makes an element or an attribute, and each can be read as it is."""
    page = html_report(named(name))
    seen = Page(page)
    harmless = Page(html_report(named("harmless")))
    assert [tag for tag, _ in seen.elements] == [tag for tag, _ in harmless.elements]
    assert not seen.having("script")
    attributes = {key for _, attributes in seen.elements for key in attributes}
    assert attributes == {key for _, attributes in harmless.elements for key in attributes}
    assert seen.text.count(shown(name)) >= 20
    assert parsed(page).tag.endswith("html")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_in_markdown(name):
    """No name makes a cell, a tag, a link, a mention or a reference."""
    report = markdown_report(named(name))
    rows = [line for line in report.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {11}
    fences = re.compile(r"^(`{3,})text\n.*?\n\1$", re.MULTILINE | re.DOTALL)
    assert len(fences.findall(report)) == 2
    outside = fences.sub("", report)
    tags = set(re.findall(r"<[^>]*>", outside))
    assert tags == {"<code>", "</code>", "<details>", "</details>", "<summary>", "</summary>", "<br>"}
    assert outside.count("<details>") == outside.count("</details>") == 2
    plain = re.sub(r"</?\w+>", "", outside)
    assert not re.search(r"[`\[\]<@~\\]|#(?!\d+;)|https?://|www\.", plain)
    assert all(char.isprintable() or char == "\n" for char in report)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_in_json(name):
    """They come back as they were, as far as files can hold them."""
    text_ = json_report(named(name))
    assert json.loads(text_.encode())["experiments"][0]["name"] == name


@given(st.text())
def test_markdown_text_reads_as_it_was(content):
    """Entities undone, it is the text in one line."""
    undone = Page(f"<p>{code(content)}").text
    assert undone == shown(content)
    assert "\n" not in text(content)


# Markdown.


def test_markdown_begins_with_the_verdict():
    """One line, one table, and folded details."""
    failed = outcome(
        verdict(status="refuted", reason="m goes the other way", adjusted_p=0.02, at_least=0.5),
        outcome="failed",
    )
    exact = outcome(verdict(test="deterministic", p_value=None, interval=(1.0, 1.0), margin=0.25))
    report = markdown_report(session(experiment(outcome(verdict()), failed, exact), notes=("a note",)))
    first, empty, head, _, row, refuted, compared, *_ = report.splitlines()
    assert first == "**2 of 3 hypotheses supported**, 1 refuted"
    assert empty == ""
    assert head == "|experiment|hypothesis|metric|treatment|means|effect|margin|p|n|verdict|"
    cells = [Page(f"<p>{cell}").text for cell in row.split("|")[1:-1]]
    named = ["experiment_e", "m_increase", "m", "boost"]
    assert cells == [*named, "2 → 3", "+1 [0.5, 1.5]", "", "0.010", "3", "✅ SUPPORTED"]
    assert "|at least 0.5|" in refuted
    assert "|+1, exact|0.25|no test|" in Page(f"<p>{compared}").text
    assert "|0.020|" in refuted
    assert "m goes the other way" in report
    assert "> a note" in report


@pytest.mark.parametrize("limit", [0, 100, 500, 2000, 5000, 20_000])
def test_markdown_keeps_to_a_limit(limit):
    """What has no room is left out, and counted; the verdict comes first."""
    many = session(*(experiment(outcome(verdict()), id=str(i), name=f"experiment_{i} ü") for i in range(40)))
    whole = markdown_report(many)
    report = markdown_report(many, limit=limit)
    assert len(report.encode()) <= limit
    if limit >= 500:
        assert report.startswith("**40 of 40 hypotheses supported**")
    if 500 <= limit < len(whole.encode()):
        assert re.search(r"Left out for lack of room: (1 row or section|\d+ rows and sections)\.", report)
    assert markdown_report(many, limit=10**6) == whole


# The page.


def full_page():
    guard = verdict(direction="equal", margin=0.5, look=2, looks=5, trail=((1, 0.4, 1e-6), (3, 0.01, 0.02)))
    failure = Failure(
        "boost", (1,), 7, "step", "ValueError: x", "Traceback\n  line", "pytest --crystallize-repro=1:b"
    )
    one = experiment(
        outcome(guard),
        outcome(verdict(status="invalid", interval=None, difference=None), outcome="failed"),
        outcome(None, outcome="not run"),
        failures=(failure,),
        cached=4,
    )
    two = experiment(outcome(verdict(degenerate=True)), id="b", name="experiment_b")
    return html_report(session(one, two, notes=("a note",)))


def test_the_page_stands_alone():
    """Nothing in it is fetched or executed."""
    page = full_page()
    seen = Page(page)
    links = [
        value
        for _, attributes in seen.elements
        for key, value in attributes.items()
        if key in ("href", "src")
    ]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"url\(|@import|<script|\bon\w+=", page)


def test_the_page_is_navigable():
    """Landmarks, headings in order, targets of links, captions and scopes, names of pictures."""
    seen = Page(full_page())
    for landmark in ("header", "nav", "main", "footer"):
        assert len(seen.having(landmark)) == 1
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in seen.having("a")} <= set(ids)
    assert seen.having("a")[0] == {"class": "skip", "href": "#main"}
    labels = {part for _, a in seen.elements for part in a.get("aria-labelledby", "").split()}
    assert labels <= set(ids)
    assert len(seen.having("caption")) == len(seen.having("table"))
    assert all("scope" in attributes for attributes in seen.having("th"))
    pictures = [a for a in seen.having("svg") if a.get("aria-hidden") != "true"]
    assert len(pictures) < len(seen.having("svg"))
    assert all(a["role"] == "img" and len(a["aria-labelledby"].split()) == 2 for a in pictures)
    assert seen.having("html")[0]["lang"] == "en"


def test_the_page_says_what_became_of_everything():
    """Verdicts, failures, what was cached, what was not run, and how to repeat it."""
    words = Page(full_page()).text
    for expected in ("SUPPORTED", "INVALID", "NOT RUN", "4 of 6 runs from cache", "ValueError: x", "a note"):
        assert expected in words
    assert "pytest --crystallize 'a.py::e::h[t]'" in words
    assert "pytest --crystallize-repro=1:b" in words


def luminance(colour):
    digits = colour.strip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_have_contrast():
    """Each colour of text has at least 4.5 to 1 on both grounds: in light, in dark, and in print."""
    style = resources.files("crystallize.report").joinpath("report.css").read_text(encoding="utf-8")
    both = re.findall(r"--(\w+): light-dark\((#\w+), (#\w+)\)", style)
    light, dark = ({name: pair[side] for name, *pair in both} for side in (0, 1))
    for colours in (light, dark, dict(re.findall(r"--(\w+): (#\w+)", style))):
        for ground in (colours["ground"], colours["raised"]):
            for ink in ("ink", "faint", "link", "good", "bad", "unsure"):
                low, high = sorted((luminance(colours[ink]), luminance(ground)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


# Plots.


def drawn(svg):
    root = ElementTree.fromstring(svg)
    paths = [(path.get("class"), path.get("d")) for path in root.iter(f"{SVG}path")]
    return root, paths


def of_class(paths, kind):
    return [d for name, d in paths if name == kind]


def test_a_dot_per_replicate_and_a_line_per_pair():
    """Both panels show each replicate, and what a replicate lacks is left out."""
    _, paths = drawn(estimation_plot(verdict(), [1.0, 2.0, None, 4.0], [2.0, 3.0, 4.0, 6.5], key="k"))
    assert [d.count("M") for d in of_class(paths, "dot")] == [3, 4, 3]
    assert [d.count("M") for d in of_class(paths, "pair")] == [3]
    assert len(of_class(paths, "mean")) == 2


def test_lines_end_at_the_dots_that_they_join():
    """Also where a replicate is missing on one side."""
    _, paths = drawn(estimation_plot(verdict(), [None, 2.0, 3.0], [2.0, 3.0, 4.0], key="k"))
    baseline, treatment, _ = (d.replace("h0", "").split("M")[1:] for d in of_class(paths, "dot"))
    ends = [line.split("L") for line in of_class(paths, "pair")[0].split("M")[1:]]
    assert [start for start, _ in ends] == baseline
    assert [end for _, end in ends] == treatment[1:]


@pytest.mark.parametrize(
    ("direction", "lines"), [("increase", 0), ("no_decrease", 1), ("no_increase", 1), ("equal", 2)]
)
def test_margins_are_drawn_where_the_claim_has_them(direction, lines):
    """On the side or the sides on which the claim would fail."""
    found = verdict(direction=direction, margin=0.5 if lines else None)
    _, paths = drawn(estimation_plot(found, [1.0, 2.0], [2.0, 4.0], key="k"))
    assert len(of_class(paths, "margin")) == lines


def test_many_replicates_are_drawn_as_quantiles():
    """A thousand replicates take no more room than sixty."""
    values = [math.sin(i) for i in range(1000)]
    svg = estimation_plot(verdict(), values, [2 * value for value in values], key="k")
    root, paths = drawn(svg)
    assert [d.count("M") for d in of_class(paths, "dot")] == [MOST_DOTS] * 3
    assert not of_class(paths, "pair")
    assert f"{MOST_DOTS} quantiles" in root.find(f"{SVG}desc").text
    assert len(svg) < 10_000


def test_a_plot_is_described_in_words():
    """Its description holds the numbers that it shows."""
    root, _ = drawn(estimation_plot(verdict(margin=0.25, direction="equal"), [1.0, 2.0], [2.0, 4.0], key="k"))
    described = root.find(f"{SVG}desc").text
    assert "baseline: 2 values from 1 to 2, mean 1.5." in described
    assert "Difference +1, interval [0.5, 1.5]." in described
    assert "Margin 0.25." in described


@pytest.mark.parametrize("sample", [[], [None], ["a", "b"], [math.nan, math.inf], [[1.0, 2.0]]])
def test_what_is_no_number_is_not_drawn(sample):
    """Without numbers on both sides there is no plot, and the page does without."""
    assert estimation_plot(verdict(), sample, [1.0, 2.0], key="k") == ""
    assert estimation_plot(verdict(), [1.0, 2.0], sample, key="k") == ""


numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.just("text"))
ends = st.one_of(st.none(), st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)))


@examples(300)
@given(
    baseline=st.lists(numbers, max_size=80),
    treatment=st.lists(numbers, max_size=80),
    interval=ends,
    difference=st.one_of(st.none(), st.floats()),
    margin=st.one_of(st.none(), st.floats(min_value=0, allow_infinity=False)),
    relative=st.booleans(),
    estimand=st.sampled_from(["", "statistic", "probability of superiority"]),
)
def test_every_sample_can_be_drawn(baseline, treatment, interval, difference, margin, relative, estimand):
    """Whatever the numbers, the plot is well-formed, and its coordinates are finite and inside."""
    found = verdict(
        interval=interval,
        difference=difference,
        margin=margin,
        relative=relative,
        direction="equal",
        estimand=estimand,
    )
    svg = estimation_plot(found, baseline, treatment, key="k")
    if svg:
        root, paths = drawn(svg)
        _, _, width, height = map(float, root.get("viewBox").split())
        for _, d in paths:
            for x, y in re.findall(r"[ML]([^ ]+) ([^hML]+)", d):
                assert -40 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_looks_are_drawn_against_their_boundary():
    """A mark per look on both lines, higher where p is larger."""
    found = verdict(trail=((6, 0.3, 1e-5), (12, 0.004, 0.003), (18, 0.0004, 0.01)), planned=30, looks=5)
    root, paths = drawn(looks_plot(found, key="k"))
    (p_line,), (level_line,) = of_class(paths, "ci"), of_class(paths, "margin")
    heights = [[float(y) for y in re.findall(r" ([\d.]+)", line)] for line in (p_line, level_line)]
    above = [p < level for p, level in zip(*heights, strict=True)]  # y grows downwards
    assert above == [True, True, False]
    assert "6 replicates: p = 0.3, level 1e-05" in root.find(f"{SVG}desc").text


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1)),
        max_size=8,
        unique_by=lambda x: x[0],
    )
)
def test_every_trail_can_be_drawn(trail):
    """P-values of 0 and 1 too."""
    svg = looks_plot(verdict(trail=tuple(sorted(trail)), planned=10**6), key="k")
    assert bool(svg) == bool(trail)
    if svg:
        _, paths = drawn(svg)
        assert not any("nan" in d or "inf" in d for _, d in paths)
