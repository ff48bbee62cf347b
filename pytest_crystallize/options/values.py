"""Values of options, on the command line and in the ini file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

REPORTS = (".html", ".json", ".md")
Mode = Literal["reuse", "refresh", "off"]
MODES: tuple[Mode, ...] = ("reuse", "refresh", "off")
AT_ONCE = 10
"""How many replicates with asynchronous steps a process runs at the same time, where nothing says it."""
LIMITS = ("calls", "minutes")
"""Of a budget, beside the total of a metric."""
REPEATABLE: tuple[str, ...] = ("note", "error")
"""Whether runs that do not repeat are told, or fail the tests of their experiment."""


class Shard(NamedTuple):
    """Part of the replicates of all experiments that one of several sessions runs.

    Attributes
    ----------
    number, total : int
        Which one it is, from 1 on, and of how many.
    """

    number: int
    total: int

    def has(self, replicate: int) -> bool:
        """Return whether a replicate is of this part."""
        return replicate % self.total == self.number - 1

    @property
    def file(self) -> str:
        """Name of the file that the session writes."""
        return f"crystallize-shard-{self.number}-of-{self.total}.json"

    def __str__(self) -> str:
        return f"{self.number} of {self.total}"


def parse_shard(text: str) -> Shard:
    """Read which part of the replicates is to be run."""
    found = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", text, re.ASCII)
    shard = Shard(*map(int, found.groups())) if found else Shard(1, 0)
    if shard.number > shard.total:
        raise argparse.ArgumentTypeError(f"{text!r} is no shard; give which of how many, as in 1/4 to 4/4")
    return shard


def parse_replicates(text: str) -> int:
    """Read a number of replicates."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer >= 1")
    return int(text)


def parse_seed(text: str) -> int | str:
    """Read a root seed."""
    if text != "random" and not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither an integer >= 0 nor 'random'")
    return text if text == "random" else int(text)


def parse_budget(text: str) -> Any:
    """Read the limits of a budget."""
    from difflib import get_close_matches  # not where nobody asks for one

    from crystallize import Budget  # not where nobody asks for one
    from crystallize.errors import DefinitionError

    known: dict[str, Any] = {}
    for part in text.split(","):
        name, _, amount = (piece.strip() for piece in part.partition("="))
        try:
            number = int(amount) if name == "calls" else float(amount)
        except ValueError:
            number = None
        of_metric = name not in LIMITS
        meant = get_close_matches(name.lower(), LIMITS, 1, 0.85) if of_metric else []
        if number is None or not name or name in known or (of_metric and "metric" in known) or meant:
            asked = f"; did you mean {meant[0]}=?" if meant else ""
            raise argparse.ArgumentTypeError(
                f"{text!r}: {part!r} is no limit{asked}; give calls=N, minutes=N and the total of one "
                "metric, as in calls=3000,minutes=10,cost=5.0"
            )
        known |= {"metric": name, "total": number} if of_metric else {name: number}
    try:
        return Budget(**known)
    except DefinitionError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def parse_address(text: str) -> str:
    """Read the address of a scheduler."""
    if not re.fullmatch(r"((tcp|tls|ucx|ws|wss)://)?[^\s:/]+:\d{1,5}", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address of a Dask scheduler; give one like 'tcp://10.0.0.1:8786'"
        )
    return text


def parse_days(text: str) -> float:
    """Read a number of days."""
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days >= 0")
    return days


def parse_reference(text: str) -> str:
    """Read the name of a reference, which is that of a directory."""
    from crystallize.seam import unsafe_file_name  # not where nobody asks for a reference

    if (fault := unsafe_file_name(text)) is not None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a reference, since {fault}; give one like 'main'"
        )
    return text


def parse_report(text: str) -> str:
    """Read the path of a report, whose suffix says its format."""
    if Path(text).suffix.lower() not in REPORTS:
        raise argparse.ArgumentTypeError(f"{text!r}: a report is a file that ends in {', '.join(REPORTS)}")
    return text


def parse_share(text: str) -> float:
    """Read a part of the time saved."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def parse_repeatable(text: str) -> str:
    """Read what comes of runs that do not repeat."""
    if text not in REPEATABLE:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(REPEATABLE)}")
    return text
