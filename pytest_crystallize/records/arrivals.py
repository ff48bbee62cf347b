"""Records of a session as they become known to the process that reports on it, whoever made them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_crystallize.records.exchange import Exchange
from pytest_crystallize.records.logs import Block, Key, LogReaders
from pytest_crystallize.records.shared_exchange import SharedExchange

if TYPE_CHECKING:
    from crystallize import RunRecord
    from crystallize.seam import Rows


class Arrived(NamedTuple):
    """Records of an experiment that have become known together.

    Attributes
    ----------
    experiment : str
        Its id.
    rows : list of Rows
        Those that are alike, in columns.
    records : list of RunRecord
        The others.
    """

    experiment: str
    rows: list[Rows]
    records: list[RunRecord]


class Arrivals(Protocol):
    """Source of the records of a session, which a thread may ask while others are made."""

    def new(self) -> Iterator[Arrived]:
        """Yield what has become known since the last time; a record may come twice."""

    def close(self) -> None:
        """Close the files."""


class HeardExchange(Exchange):
    """Records of the only process of a session, of which the new ones are handed on."""

    def __init__(self) -> None:
        super().__init__()
        self._new: deque[tuple[str, RunRecord]] = deque()

    def publish(self, key: Key, record: RunRecord) -> None:
        """Make a record known."""
        super().publish(key, record)
        self._new.append((key.experiment, record))

    def new(self) -> Iterator[Arrived]:
        """Yield what has become known since the last time."""
        found: dict[str, list[RunRecord]] = {}
        for _ in range(len(self._new)):
            experiment, record = self._new.popleft()
            found.setdefault(experiment, []).append(record)
        yield from (Arrived(experiment, [], records) for experiment, records in found.items())


class LoggedArrivals:
    """Records that the processes of a session have logged.

    Parameters
    ----------
    exchange : SharedExchange
        Theirs; what it has read is read here again, since its tables are not for several threads.
    """

    def __init__(self, exchange: SharedExchange) -> None:
        self._readers = LogReaders(exchange.directory)

    def new(self) -> Iterator[Arrived]:
        """Yield what has been logged since the last time."""
        from crystallize.seam import records_from_json  # heavy, as records are

        for reader in self._readers.current():
            for entry in reader.entries():
                if isinstance(entry, Block):
                    yield Arrived(entry.experiment, *records_from_json(entry.read()))

    def close(self) -> None:
        """Close the files."""
        self._readers.close()


def arrivals(exchange: Exchange) -> Arrivals:
    """Return the records that an exchange will know, as they come."""
    if isinstance(exchange, SharedExchange):
        return LoggedArrivals(exchange)
    assert isinstance(exchange, HeardExchange)
    return exchange
