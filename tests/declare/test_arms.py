"""Treatments that a file declares."""

import math
import sys
from pathlib import Path

import pytest

from crystallize import Experiment, ExperimentBuilder, Treatment, pipeline_step
from crystallize.errors import DefinitionError, MissingExtraError

YAML = "large: {size: 64, rate: 1e-3}\nsmall:\n  size: 012\n  mode: no\n  at: 1:30\n"
TOML = '[large]\nsize = 64\nrate = 1e-3\n[small]\nsize = 12\nmode = "no"\nat = "1:30"\n'
JSON = '{"large": {"size": 64, "rate": 1e-3}, "small": {"size": 12, "mode": "no", "at": "1:30"}}'


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Give the tests a file of their own, beside which their paths are."""
    monkeypatch.setitem(globals(), "__file__", str(tmp_path / "test_arms.py"))
    return tmp_path


@pipeline_step()
def measure(data, *, size=8, rate=0.0, mode="", at=""):
    return data, {"size": size}


@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", YAML), ("a.yml", YAML), ("a.toml", TOML), ("a.json", JSON)]
)
def test_every_format_gives_the_same(directory, name, text):
    """YAML is read as version 1.2: `no` is a text, 1e-3 a number, and 012 is twelve."""
    (directory / name).write_text(text)
    large, small = Treatment.from_file(name)
    assert (large.name, large.payload) == ("large", {"size": 64, "rate": 0.001})
    assert (small.name, small.payload) == ("small", {"size": 12, "mode": "no", "at": "1:30"})
    assert type(small.payload["size"]) is int


def test_a_path_stands_where_treatments_do(directory, monkeypatch):
    """On an experiment, its builder, for one run; relative to the file, wherever one is."""
    (directory / "arms.json").write_text(JSON)
    monkeypatch.chdir(Path(directory.anchor))
    names = ("baseline", "large", "small")
    experiment = Experiment(0, [measure], treatments="arms.json")
    built = ExperimentBuilder("b").datasource(0).add_step(measure).treatments(Path("arms.json")).build()
    assert experiment.conditions == built.conditions == names
    assert list(Experiment(0, [measure]).run(treatments="arms.json").metrics.treatments) == ["large", "small"]
    assert Experiment(0, [measure], treatments=directory / "arms.json").conditions == names


def test_where_there_is_no_file_it_is_the_working_directory(directory, monkeypatch):
    """As in a notebook."""
    (directory / "arms.json").write_text(JSON)
    monkeypatch.delitem(globals(), "__file__")
    monkeypatch.chdir(directory)
    assert len(Treatment.from_file("arms.json")) == 2


def test_merge_keys_and_special_numbers(directory):
    """What two arms share may be written once; a key may still be given a value of its own."""
    (directory / "a.yaml").write_text(
        "base: &base {size: 1, rate: .nan}\n"
        "more:\n  <<: *base\n  size: 2\n  at: ~\n  mode: [0o17, 0x1F, -.inf]\n"
    )
    base, more = Treatment.from_file("a.yaml")
    assert math.isnan(base.payload["rate"])
    assert (more.payload["size"], more.payload["at"]) == (2, None)
    assert more.payload["mode"] == [15, 31, -math.inf]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ini", "", r"'a.ini' are in no known format; .* ends in .yaml, .yml, .toml, .json"),
        ("a.yaml", "a: {x: 1}\na: {x: 2}\n", r"a.yaml, line 2: 'a' is declared twice"),
        ("a.yaml", "a:\n  x: 1\n  x: 1\n", r"a.yaml, line 3: 'x' is declared twice"),
        ("a.yaml", "a: {x: [1}\n", r"a.yaml, line 1: expected ','"),
        ("a.yaml", "a: {x: !!python/object:os.system 1}\n", r"a.yaml, line 1: could not determine"),
        ("a.yaml", "a: &a {x: *a}\n", r"a.yaml"),
        ("a.yaml", "8: {x: 1}\n", r"treatment 8: its name is no string; write it in quotes"),
        ("a.yaml", "a: {1: 1}\n", r"treatment 'a': key 1 is no string"),
        ("a.yaml", "", r"a.yaml, which holds nothing: a file of treatments maps each name"),
        ("a.yaml", "- a\n", r"a.yaml, which holds a list"),
        ("a.yaml", "a: \x07", r"a.yaml, which is no YAML"),
        ("a.toml", "a = 1", r"a.toml, treatment 'a' is 1, which adds no keys"),
        ("a.toml", "[a]\nx = 1\n[a]\n", r"a.toml, which is no TOML: .*line 3"),
        ("a.json", '{"a": {"x": 1,}}', r"a.json, line 1"),
        ("a.json", '{"a": {"x": 1, "x": 2}}', r"a.json, which declares 'x' twice"),
        ("a.json", '{"a": {"x": NaN}}', r"a.json, which holds NaN"),
        ("a.json", '{"baseline": {}}', r"a.json, a treatment can't be named 'baseline'"),
        ("a.json", '{"": {}}', r"a.json, a treatment is named ''"),
    ],
)
def test_a_file_that_is_wrong_is_told(directory, name, text, message):
    """By its name, the line or the key, and what is allowed."""
    (directory / name).write_text(text)
    with pytest.raises(DefinitionError, match=message):
        Treatment.from_file(name)


def test_a_file_that_is_not_there_is_told(directory):
    """With the directory in which it was looked for."""
    with pytest.raises(DefinitionError, match=r"'b.toml' can't be read: No such file.*relative to the file"):
        Experiment(0, [measure], treatments="b.toml")
    (directory / "latin.json").write_bytes(b"\xe9")
    with pytest.raises(DefinitionError, match="not UTF-8"):
        Treatment.from_file("latin.json")


def test_without_pyyaml_the_error_names_the_extra(directory, monkeypatch):
    """And the formats that need none."""
    (directory / "a.yaml").write_text(YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pytest-crystallize\[yaml\]'.*TOML or JSON"):
        Treatment.from_file("a.yaml")
