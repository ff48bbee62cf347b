"""Samples of cases as the replicates of an experiment: which replicate is of which case, and its seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

from crystallize.context.journal import Journal
from crystallize.context.seeding import SeedStream
from crystallize.declare.cases import CASE, Case, Cases
from crystallize.declare.numbers import plain_number
from crystallize.declare.treatment import Treatment
from crystallize.errors import DefinitionError

_DIGEST_DIGITS: Final = 16


@dataclass(frozen=True)
class CaseDesign:
    """The cases of an experiment, how often each is run, and what they are told apart by.

    Attributes
    ----------
    cases : Cases
        The data set.
    samples : int
        How often each condition is run on each case.
    slices : str or None
        Key of the cases whose values part them into slices.
    """

    cases: Cases
    samples: int = 1
    slices: str | None = None

    @classmethod
    def declared(
        cls, cases: Any, samples: Any, slices: Any, *, replicates: Any = None, where: str
    ) -> CaseDesign | None:
        """Return the design that is declared; None where there are no cases.

        Raises
        ------
        DefinitionError
            If the parts make no sense, by themselves or together.
        """
        if cases is None:
            for name, given in (("samples", samples), ("slices", slices)):
                if given is not None:
                    raise DefinitionError(
                        f"{where} has {name}={given!r} and no cases=, of which they would be"
                    )
            return None
        if not isinstance(cases, Cases):
            hint = "; call it" if isinstance(cases, type) else ""
            raise DefinitionError(
                f"{where} has cases={type(cases).__name__}; give Cases(rows, id='id'), Cases.jsonl(path) or "
                f"Cases.csv(path){hint}"
            )
        if replicates is not None:
            raise DefinitionError(
                f"{where} has cases= and replicates={replicates!r}; a replicate is one sample of one case: "
                "say by samples= how often each case is run"
            )
        design = cls(cases, 1 if samples is None else check_samples(samples, where), slices)
        if slices is not None:
            design._check_slices(where)
        return design

    def _check_slices(self, where: str) -> None:
        if not isinstance(self.slices, str) or not self.slices:
            raise DefinitionError(f"{where} has slices={self.slices!r}; give the name of a key of the cases")
        for case in self.cases.entries:
            if self.slices not in case.values:
                raise DefinitionError(
                    f"{where} has slices={self.slices!r}, which case {case.id!r} lacks; it has "
                    f"{', '.join(map(repr, case.values))}"
                )
            if not isinstance(case.values.get(self.slices), str | int) or case.values[self.slices] == "":
                held = case.values.get(self.slices)
                raise DefinitionError(
                    f"{where} has slices={self.slices!r}, and case {case.id!r} has {held!r:.60} there; "
                    "slices are told by a string or an integer in every case"
                )

    def slice_of(self, case: Case) -> str:
        """Return the slice of a case."""
        assert self.slices is not None
        return str(case.values[self.slices])

    @cached_property
    def by_slice(self) -> Mapping[str, frozenset[str]]:
        """Slice -> ids of its cases, in the order of the data set; nothing without `slices`."""
        found: dict[str, set[str]] = {}
        for case in self.cases.entries if self.slices is not None else ():
            found.setdefault(self.slice_of(case), set()).add(case.id)
        return {name: frozenset(ids) for name, ids in found.items()}

    @property
    def replicates(self) -> int:
        """Number of samples of all cases."""
        return len(self.cases) * self.samples

    def stream(self, root: int, branch: tuple[int, ...] = ()) -> CaseStream:
        """Return the seeds of a root seed."""
        return CaseStream(root, branch, self)


def check_case_key(initial: Mapping[str, Any], treatments: Iterable[Treatment], where: str) -> None:
    """Raise `DefinitionError` if something else than the case of a run sets the key that gives it."""
    setters = ["initial_ctx"] if CASE in initial else []
    setters += [
        f"treatment {treatment.name!r}" for treatment in treatments if CASE in (treatment.payload or ())
    ]
    if setters:
        raise DefinitionError(
            f"{where}: {setters[0]} sets the key {CASE!r}, which gives the case of a run; rename it"
        )


def check_samples(samples: Any, where: str) -> int:
    """Return a number of samples, or raise `DefinitionError`."""
    samples = plain_number(samples)
    if type(samples) is not int or samples < 1:
        raise DefinitionError(f"{where} has samples={samples!r}; a number of samples is an integer >= 1")
    return samples


class CaseStream(SeedStream):
    """The words of samples of cases: each depends on root seed, case id and number of the sample alone.

    Cases are in an order that is drawn from the root seed, by their ids: so the first ones are a random
    sample of all, and a case that is inserted or dropped moves no other relative to a third.

    Parameters
    ----------
    root, branch
        As of `SeedStream`.
    design : CaseDesign
        The cases, and how many samples there are of each.
    """

    __slots__ = ("design", "order", "samples")

    def __init__(self, root: int, branch: tuple[int, ...], design: CaseDesign) -> None:
        super().__init__(root, branch)
        self.design = design
        self.samples = design.samples
        self.order = sorted(design.cases.entries, key=lambda case: (self._digest("order", case.id), case.id))

    def _digest(self, *of: Any) -> bytes:
        return blake2b(json.dumps([self.root, self.branch, *of]).encode(), digest_size=8).digest()

    def of(self, replicate: int) -> tuple[Case, int]:
        """Return the case of a replicate, and which of its samples it is."""
        number, sample = divmod(replicate, self.samples)
        return self.order[number % len(self.order)], sample + number // len(self.order) * self.samples

    def word(self, replicate: int) -> int:
        """Return the word of a replicate."""
        case, sample = self.of(replicate)
        return int.from_bytes(self._digest(case.id, sample))

    def branched(self, branch: tuple[int, ...]) -> CaseStream:
        """Return the independent stream of the same cases."""
        return CaseStream(self.root, branch, self.design)

    def key(self, replicate: int) -> bytes:
        """Return what identifies a replicate: its case with all that it holds, and which sample it is."""
        case, sample = self.of(replicate)
        return json.dumps([case.id, case.digest, sample]).encode()

    def label(self, replicate: int) -> str:
        """Return what messages call a replicate."""
        case, sample = self.of(replicate)
        return f"case {case.id!r}" + (f", sample {sample}," if self.samples > 1 else "")

    def named(self, replicate: int) -> tuple[str, str]:
        """Return the id of a replicate's case, and a short digest of what it holds."""
        case, _ = self.of(replicate)
        return case.id, case.digest[:_DIGEST_DIGITS]

    def begin(self, journal: Journal) -> None:
        """Have a journal begin with its case."""
        case, sample = self.of(journal.replicate)
        journal.case, journal.sample = case.id, sample % self.samples  # of A/A tests there are more
        journal.values[CASE] = case.values

    def __reduce__(self) -> tuple[Any, ...]:
        return (CaseStream, (self.root, self.branch, self.design))
