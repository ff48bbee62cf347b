"""Cases: rows with ids, from wherever they come."""

import collections
import pickle

import pytest

from crystallize import Cases
from crystallize.declare.case_design import CaseDesign
from crystallize.errors import DefinitionError

ROWS = [{"id": "a", "n": 1}, {"id": "b", "n": 2}]


def test_rows_are_copied_in_and_out():
    """Nobody changes a case from afar."""
    rows = [{"id": "a", "tags": ["x"]}]
    cases = Cases(rows)
    rows[0]["tags"].append("y")
    cases["a"]["tags"].append("z")
    assert list(cases) == [{"id": "a", "tags": ["x"]}]
    assert len(cases) == 1
    assert "a" in cases


def test_files(tmp_path):
    """Lines of JSON and of CSV are rows; ids of either are texts."""
    lines, table = tmp_path / "cases.jsonl", tmp_path / "cases.csv"
    lines.write_text('\ufeff{"id": 1, "text": "é\\u2028/"}\n\n{"id": "b]["}\n', encoding="utf-8")
    table.write_text('name;text\n1;"a;\nb"\n2;c\n', encoding="utf-8")
    assert Cases.jsonl(lines).ids == ("1", "b][")
    assert Cases.jsonl(lines)["1"]["text"] == "é\u2028/"
    assert list(Cases.csv(str(table), id="name", delimiter=";")) == [
        {"name": "1", "text": "a;\nb"},
        {"name": "2", "text": "c"},
    ]


class Polars:
    """Table with rows as a polars data frame has them."""

    columns = ("id", "n")

    def to_dicts(self):
        """Return them."""
        return ROWS


class Arrow:
    """Table with rows as a pyarrow table has them."""

    def to_pylist(self):
        """Return them."""
        return ROWS


def test_tables():
    """Data frames of pandas and polars, tables of pyarrow and iterables of mappings hold the same rows."""
    pandas = pytest.importorskip("pandas")
    rows = [collections.OrderedDict(row) for row in ROWS]
    for table in (pandas.DataFrame(ROWS), Polars(), Arrow(), iter(ROWS), tuple(rows)):
        assert Cases(table).digest == Cases(ROWS).digest
    twice = pandas.DataFrame([["a", "b"]], columns=["id", "id"])
    with pytest.raises(DefinitionError, match="two columns of one name"):
        Cases(twice)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds no row"),
        (iter(()), "an iterator .* nothing more"),
        ([{"id": "a"}, {"id": "a"}], "row 1 and row 2 both have id='a'"),
        ([{"id": 1}, {"id": "1"}], "both have id='1'"),
        ([{"id": None}], "row 1 has id=None, which is no id"),
        ([{"id": float("nan")}], "id=nan, which is no id"),
        ([{"id": 1.0}], "id=1.0, which is no id"),
        ([{"id": True}], "id=True, which is no id"),
        ([{"id": " "}], "which is no id"),
        ([{"n": 1}], "row 1 has no key 'id'; it has 'n'"),
        (["a"], "row 1 is a str, not a mapping"),
        ([{"id": "a", 3: 4}], "the key 3; keys are strings"),
        ([{"id": "a", "f": open}, {"id": "b", "f": (i for i in ())}], "no content of its own"),
        ({"train": ROWS}, "a mapping of 'train', not rows"),
        ("cases.jsonl", "Cases.jsonl"),
        (3, "a int, which holds no rows"),
    ],
)
def test_what_has_no_cases_is_refused(rows, told):
    """A message says which row, and what an id is."""
    with pytest.raises(DefinitionError, match=told):
        Cases(rows)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("c.jsonl", '{"id": 1}\n{"id": 2', "c.jsonl, line 2 is no JSON object"),
        ("c.jsonl", '{"id": 1, "id": 2}', "line 1 is no JSON object: it has 'id' twice"),
        ("c.jsonl", "[1]", "line 1 holds .* not a JSON object"),
        ("c.jsonl", '{"id": 1}\n{"id": "1"}', "c.jsonl: line 1 and line 2 both have"),
        ("c.jsonl", "\n", "c.jsonl holds no row"),
        ("c.csv", "id,n\n1\n", "line 2 has 1 columns, and line 1 names 2"),
        ("c.csv", "id,id\n1,2\n", "names a column twice"),
        ("c.csv", "", "holds no row"),
    ],
)
def test_faults_of_files_are_told_by_line(tmp_path, monkeypatch, name, text, told):
    """So is a file that is not there."""
    monkeypatch.chdir(tmp_path)
    read = Cases.csv if name.endswith("csv") else Cases.jsonl
    with pytest.raises(DefinitionError, match="can't be read"):
        read(name)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError, match=told):
        read(name)


def of(stream):
    """Return the case and the word of each replicate, by case and sample."""
    size = len(stream.order) * stream.samples
    return {
        (case.id, sample): (stream.word(i), stream.key(i))
        for i, (case, sample) in enumerate(map(stream.of, range(size)))
    }


def test_seeds_are_of_root_case_and_sample():
    """What else there is, how many samples, and in which order, changes neither a seed nor a key."""
    rows = [{"id": str(i), "n": i} for i in range(20)]
    known = of(CaseDesign(Cases(rows), 2).stream(7))
    assert len({word for word, _ in known.values()}) == 40
    more = of(CaseDesign(Cases([*rows[:0:-1], {"id": "new"}]), 3).stream(7))
    assert known.items() - more.items() == {(k, v) for k, v in known.items() if k[0] == "0"}
    other = of(CaseDesign(Cases([{**row, "n": 0} for row in rows]), 2).stream(7))
    assert [key for key in known if known[key] != other[key]] == [key for key in known if key[0] != "0"]
    assert all(known[key][0] == other[key][0] for key in known)  # what a case says is no part of its seed
    assert not {word for word, _ in known.values()} & {
        word for word, _ in of(CaseDesign(Cases(rows), 2).stream(8)).values()
    }


def test_order_is_drawn_from_the_seed():
    """The first cases are no first ones of a file, and a case that is gone moves no others."""
    rows = [{"id": str(i)} for i in range(50)]
    order = [case.id for case in CaseDesign(Cases(rows)).stream(0).order]
    assert order != [row["id"] for row in rows]
    assert order != [case.id for case in CaseDesign(Cases(rows)).stream(1).order]
    fewer = [case.id for case in CaseDesign(Cases(rows[5:])).stream(0).order]
    assert fewer == [name for name in order if int(name) >= 5]


def test_streams_are_sent_whole():
    """A process that is sent one has the same cases."""
    stream = CaseDesign(Cases(ROWS), 2).stream(3, (1,))
    assert of(pickle.loads(pickle.dumps(stream))) == of(stream)
