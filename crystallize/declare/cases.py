"""Cases: the rows of a data set that an experiment is run on, each with an id of its own."""

from __future__ import annotations

import csv
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from crystallize.context.freezing import freeze, thaw
from crystallize.errors import DefinitionError, UnhashableValueError
from crystallize.text.formatting import counted
from crystallize.text.strict_json import unique_keys

CASE: Final = "case"
"""Key of the context, and name of the fixture, that give the case of a run."""

_LONGEST: Final = 200  # characters of an id, which stands in names, tables and messages


@dataclass(frozen=True, slots=True)
class Case:
    """Row of a data set.

    Attributes
    ----------
    id : str
        What tells it from the others.
    values : dict
        The row, frozen.
    digest : str
        Of the row's content.
    """

    id: str
    values: dict[str, Any]
    digest: str


class Cases:
    """Rows of a data set that an experiment is run on, each a mapping with an id of its own.

    Parameters
    ----------
    rows : iterable of mapping
        The rows, or what holds them: a list, a pandas or polars `DataFrame`, a pyarrow `Table` (of a parquet
        file, say), a split of a Hugging Face `Dataset`. It is read once, here.
    id : str
        The key of each row that tells it from the others: a string or an integer, which counts as its text.
        It has to stay what it is where rows are inserted, dropped or reordered; the number of a row does not.

    Raises
    ------
    DefinitionError
        If there is no row, a row is no mapping, an id is missing or is not a string or integer, or two rows
        have the same one.

    Examples
    --------
    >>> cases = Cases([{"id": "q1", "question": "2 + 2"}, {"id": "q2", "question": "3 * 3"}], id="id")
    >>> cases.ids
    ('q1', 'q2')
    """

    def __init__(self, rows: Any, *, id: str = "id") -> None:  # noqa: A002 - what the key is called
        self._take((_row(row, f"row {i}") for i, row in enumerate(_rows_of(rows), start=1)), id, "Cases")

    def _take(self, rows: Iterable[tuple[str, Mapping[str, Any]]], key: str, source: str) -> None:
        if not isinstance(key, str) or not key:
            raise DefinitionError(f"{source}: id={key!r}; give the name of the key that holds each row's id")
        self.key, self.source = key, source
        found: dict[str, Case] = {}
        places: dict[str, str] = {}
        for place, row in rows:
            name = _id(row, key, f"{source}, {place}")
            if name in found:
                raise DefinitionError(
                    f"{source}: {places[name]} and {place} both have {key}={name!r}, by which nobody could "
                    "tell them apart; give each row an id of its own (1 and '1' are the same)"
                )
            found[name], places[name] = _case(name, row, f"{source}, {place}"), place
        if not found:
            raise DefinitionError(f"{source} holds no row; an experiment on no case could show nothing")
        self._cases = found

    @classmethod
    def jsonl(cls, path: str | Path, *, id: str = "id") -> Self:  # noqa: A002 - as in `Cases`
        """Return the rows of a file with one JSON object a line; empty lines are left out.

        Parameters
        ----------
        path : path
            As for `open`.
        id : str
            As of `Cases`.
        """
        return cls._of_file(path, id, _jsonl_rows)

    @classmethod
    def csv(cls, path: str | Path, *, id: str = "id", delimiter: str = ",") -> Self:  # noqa: A002
        """Return the rows of a CSV file, whose first line names the columns; all values are texts.

        Parameters
        ----------
        path : path
            As for `open`.
        id : str
            As of `Cases`.
        delimiter : str
            What parts the columns.
        """
        return cls._of_file(path, id, lambda text: _csv_rows(text, delimiter))

    @classmethod
    def _of_file(cls, path: str | Path, key: str, rows: Any) -> Self:
        source = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as fault:
            raise DefinitionError(
                f"the cases of {source!r} can't be read: {fault.strerror or fault} (from {Path.cwd()}); for "
                "a file beside your module: Path(__file__).with_name(...)"
            ) from None
        except UnicodeDecodeError as fault:
            raise DefinitionError(f"{source} is not UTF-8: {fault}") from None
        made = cls.__new__(cls)
        try:
            made._take(rows(text), key, source)
        except ValueError as fault:
            if isinstance(fault, DefinitionError):
                raise
            raise DefinitionError(f"{source}, {fault}") from None
        return made

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, in the order of the rows."""
        return tuple(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield copies of the rows."""
        return (thaw(case.values) for case in self._cases.values())

    def __contains__(self, name: object) -> bool:
        return name in self._cases

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return a copy of the row with an id."""
        return thaw(self._cases[name].values)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'case')} of {self.source}>"

    @property
    def entries(self) -> tuple[Case, ...]:
        """The cases, in the order of the rows."""
        return tuple(self._cases.values())

    @cached_property
    def digest(self) -> str:
        """Digest of ids and contents, whatever their order."""
        return _hash({(case.id, case.digest) for case in self._cases.values()})


# Rows.


def _rows_of(given: Any) -> Iterable[Any]:
    """Return the rows that something holds."""
    if isinstance(given, str | bytes | Path):
        raise DefinitionError(
            f"Cases({str(given)!r:.80}) is given a text, not rows; of a file: Cases.jsonl(path) or .csv(path)"
        )
    if isinstance(given, Mapping):
        known = ", ".join(map(repr, list(given)[:5]))
        raise DefinitionError(
            f"Cases is given a mapping of {known}, not rows; give a list of mappings, or one split of it: "
            "Cases(data['test'])"
        )
    for name in ("to_dicts", "to_pylist"):  # polars, pyarrow
        if callable(rows := getattr(given, name, None)):
            return rows()  # type: ignore[no-any-return]
    if hasattr(given, "columns") and callable(getattr(given, "to_dict", None)):  # pandas
        if not given.columns.is_unique:
            raise DefinitionError("Cases is given a table with two columns of one name; rename one of them")
        return given.to_dict("records")  # type: ignore[no-any-return]
    try:
        rows = list(given)
    except TypeError as fault:
        raise DefinitionError(f"Cases is given a {type(given).__name__}, which holds no rows") from fault
    if not rows and isinstance(given, Iterator):
        raise DefinitionError(
            f"Cases is given an iterator ({type(given).__name__}) that holds nothing, or nothing more: it "
            "gives what it holds only once; give a list"
        )
    return rows


def _row(row: Any, place: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(row, Mapping):
        raise DefinitionError(
            f"Cases, {place} is a {type(row).__name__}, not a mapping such as {{'id': 'q1', 'text': '...'}}"
        )
    return place, row


def _jsonl_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as fault:
            raise ValueError(f"{place} is no JSON object: {fault}") from fault
        if not isinstance(row, dict):
            raise ValueError(f"{place} holds {line.strip():.60}, not a JSON object")
        yield place, row


def _csv_rows(text: str, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
        header = next(reader, [])
        if len(set(header)) < len(header):
            raise ValueError("line 1 names a column twice")
        for values in reader:
            place = f"line {reader.line_num}"
            if not values:
                continue
            if len(values) != len(header):
                raise ValueError(f"{place} has {len(values)} columns, and line 1 names {len(header)}")
            yield place, dict(zip(header, values, strict=True))
    except (csv.Error, TypeError) as fault:
        raise ValueError(f"it is no CSV file: {fault}") from fault


def _id(row: Mapping[str, Any], key: str, where: str) -> str:
    """Return the id of a row as text."""
    if key not in row:
        known = ", ".join(map(repr, list(row)[:8])) or "nothing"
        raise DefinitionError(f"{where} has no key {key!r}; it has {known}; name the key of the id by id=")
    value = row[key]
    if isinstance(value, str):
        name = str.__str__(value)
        if name.strip() and len(name) <= _LONGEST:
            return name
    elif not isinstance(value, bool):
        try:
            return str(operator.index(value))  # numpy's integers, too
        except TypeError:
            pass
    raise DefinitionError(
        f"{where} has {key}={value!r:.80}, which is no id: a string of 1 to {_LONGEST} characters or an "
        "integer; a missing value is none, nor is a number with a fraction"
    )


def _case(name: str, row: Mapping[str, Any], where: str) -> Case:
    for key in row:
        if not isinstance(key, str):
            raise DefinitionError(f"{where} has the key {key!r}; keys are strings")
    try:
        values = freeze(dict(row))
        return Case(name, values, _hash(values))
    except (TypeError, UnhashableValueError) as fault:
        raise DefinitionError(
            f"{where} ({name!r}) holds what has no content of its own: {fault}; give plain data"
        ) from fault


def _hash(value: object) -> str:
    from crystallize.identity.stable_hash import stable_hash  # heavy: not where there are no cases

    return stable_hash(value, name="it")
