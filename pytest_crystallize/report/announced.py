"""What is known of an experiment before it runs, in the process that reports on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystallize.seam import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """An experiment that is to be run, as the process that collected it describes it; plain data.

    Attributes
    ----------
    name, where : str
        What reports call it, and ``file:line`` of its function.
    node : str
        Node id of what its tests stand under.
    tests : mapping of str to pair of str
        Node id of each test -> names of its hypothesis and its treatment, empty where it has none.
    against : sequence of str
        Node ids of the tests whose hypothesis is against a reference.
    part : str
        Which experiment of a graph it is; empty outside of graphs.
    reads : sequence of str
        Ids of the experiments of the graph whose output it reads.
    conditions : sequence of str
        All of them, the baseline first.
    off, for_family : sequence of str
        Those that are switched off, and those that are run for the correction alone.
    replicates, units : int
        How many replicates, and how many condition runs, are planned.
    looks : sequence of int
        After how many replicates, or cases, its claims are looked at; empty without early stopping.
    seed : int
        The root seed.
    seed_drawn : bool
        Whether it was drawn for this session.
    artifacts : str
        What directories of its artifacts are called after.
    keep_versions : int or None
        How many versions of them are kept; None for all.
    stays : str
        Why it runs here although there is a cluster; empty if it does not.
    save : mapping
        How what it gives is saved as a reference, if it is.
    shard : mapping
        What the file of a shard says of it besides its runs, if there is to be one.
    cases : mapping or None
        What `CaseNames` are made of, if it is run on cases.
    inputs : sequence of str
        Files that its runs read, as declared.
    due, stored : int
        Of an experiment on cases, how many runs this session needs, and how many of these are stored.
    """

    name: str
    where: str
    node: str
    tests: Mapping[str, Sequence[str]]
    against: Sequence[str]
    part: str
    reads: Sequence[str]
    conditions: Sequence[str]
    off: Sequence[str]
    for_family: Sequence[str]
    replicates: int
    units: int
    looks: Sequence[int]
    seed: int
    seed_drawn: bool
    artifacts: str
    keep_versions: int | None
    stays: str
    save: Mapping[str, Any]
    shard: Mapping[str, Any]
    cases: Mapping[str, Any] | None
    inputs: Sequence[str]
    due: int
    stored: int

    def lines(self) -> Iterator[str]:
        """Yield what is to be said of an experiment on cases before it is run: runs may cost something."""
        if self.due:
            verb = "is" if self.stored == 1 else "are"
            yield f"{self.name}: {counted(self.due, 'run')}, of which {self.stored} {verb} stored"
