"""Which reference a hypothesis is about."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, get_args

from crystallize.declare.numbers import make_plain
from crystallize.errors import DefinitionError
from crystallize.storage.names import unsafe_file_name

OtherMachines = Literal["refuse", "allow"]


@dataclass(frozen=True, slots=True)
class Reference:
    """Earlier results of the experiment; a hypothesis `against` it compares each condition with its own past.

    Parameters
    ----------
    name : str
        Under pytest, the directory beside the experiment's file: ``references/NAME``.
    path : path, optional
        A reference file, written by `Result.save_reference`, for `Experiment.run`. Under pytest the name says
        where it is.
    other_machines : {"refuse", "allow"}
        Whether a metric that was measured (``measured=True``) on another machine, or by another Python, is
        compared with today's; by default such a claim is invalid.
    pool : int, optional
        Compare with the mean of so many recordings, the last ones, whatever became of them: of each replicate
        its mean over them. That is as many values as replicates, not more: the same seeds were run each time.
        What varies from recording to recording by chance weighs less, and one that was lucky makes no gate
        that only luck passes.
    at : str, optional
        Compare with one recording, for good: its file is called so, or its commit begins so, or had this tag.
        The verdict says how much of the margin is used up since.

    Raises
    ------
    DefinitionError
        If the name can't be that of a directory, the path is none, `pool` is no positive number or given
        with `at`, or `other_machines` is none of these.

    Examples
    --------
    >>> from crystallize import Hypothesis
    >>> Hypothesis(metric="recall", direction="no_decrease", margin=0.01, against=Reference("main")).name
    'recall_no_decrease'
    """

    name: str
    path: str | os.PathLike[str] | None = None
    other_machines: OtherMachines = "refuse"
    pool: int | None = None
    at: str | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        if self.path is not None and not isinstance(self.path, str | os.PathLike):
            raise DefinitionError(
                f"path is {self.path!r}; give the path of a file that Result.save_reference wrote"
            )
        if self.pool is not None and (type(self.pool) is not int or self.pool < 1):
            raise DefinitionError(
                f"pool is {self.pool!r}; give the number of recordings, an int from 1 on, or leave it out"
            )
        if self.at is not None and (not isinstance(self.at, str) or not self.at):
            raise DefinitionError(
                f"at is {self.at!r}; give the name of a recording, the beginning of its commit, or its tag"
            )
        if self.pool is not None and self.at is not None:
            raise DefinitionError(
                f"pool={self.pool} and at={self.at!r}: an anchor is one recording; give one"
            )
        if self.other_machines not in get_args(OtherMachines):
            allowed = ", ".join(map(repr, get_args(OtherMachines)))
            raise DefinitionError(f"other_machines is {self.other_machines!r}; allowed are {allowed}")
        fault = unsafe_file_name(self.name) if isinstance(self.name, str) else "it is no string"
        if fault is not None:
            raise DefinitionError(f"a reference is named {self.name!r}, but {fault}; give a name like 'main'")

    def __str__(self) -> str:
        return f"reference {self.name!r}"

    @property
    def file(self) -> Path | None:
        """The path, where one is given."""
        return None if self.path is None else Path(self.path)


@dataclass(frozen=True, slots=True)
class Revision(Reference):
    """Another commit of the project, of which the same session makes runs: what a change of the code does.

    Which commit it is, ``--crystallize-against=REV`` says; without that option, and without pytest, a claim
    against it is invalid. A claim against a `Reference` is judged on runs of that commit, too, if the option
    is given.

    Examples
    --------
    >>> from crystallize import Hypothesis
    >>> Hypothesis(metric="recall", direction="no_decrease", margin=0.01, against=Revision()).name
    'recall_no_decrease'
    """

    name: str = field(default="(not given)", init=False)
    path: None = field(default=None, init=False)
    other_machines: OtherMachines = field(default="refuse", init=False)
    pool: None = field(default=None, init=False)
    at: None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Accept whatever git takes for the name of a commit."""

    def __str__(self) -> str:
        return f"revision {self.name!r}"

    @classmethod
    def called(cls, name: str) -> Self:
        """Return the revision that was asked for by a name."""
        revision = cls()
        object.__setattr__(revision, "name", name)
        return revision
