"""The fixtures of a condition run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_crystallize.naming.ids import relative
from pytest_crystallize.pytest_seam import getfslineno

if TYPE_CHECKING:
    import numpy as np

    from crystallize import FrozenContext

RESERVED = ("ctx", "seed", "rng", "replicate", "condition")
CASE = "case"
"""The fixture that is there where cases are declared; elsewhere the name is anybody's."""
SUBTESTS = "subtests"
"""A fixture of pytest's by which code reports tests of its own."""
CHECKED = (*RESERVED, SUBTESTS)
"""Fixtures that are looked at when a run has them made: it may ask for them by `request.getfixturevalue`."""


class UnitFixtures:
    """Fixtures that speak of the condition run under way.

    None of them takes `request`, which would cost more than all the rest of a short run.
    """

    def __init__(self) -> None:
        self.current: FrozenContext | None = None

    def _context(self, name: str) -> Any:
        if self.current is None:
            pytest.fail(
                f"fixture {name!r} exists only inside an experiment: a function named after "
                "crystallize_functions and marked with @pytest.mark.experiment",
                pytrace=False,
            )
        return self.current

    @pytest.fixture
    def ctx(self) -> FrozenContext:
        """Context of the run: what the treatment changes, metrics, artifacts, notes."""
        return self._context("ctx")  # type: ignore[no-any-return]

    @pytest.fixture
    def seed(self) -> int:
        """Seed of the replicate (32 bits), the same for every treatment."""
        return self._context("seed").seed  # type: ignore[no-any-return]

    @pytest.fixture
    def rng(self) -> np.random.Generator:
        """Random generator (numpy) of the replicate, the same for every treatment."""
        return self._context("rng").rng  # type: ignore[no-any-return]

    @pytest.fixture
    def replicate(self) -> int:
        """Replicate's number, from 0; with cases, the sample's."""
        return self._context("replicate").replicate  # type: ignore[no-any-return]

    @pytest.fixture
    def condition(self) -> str:
        """Name of the treatment, or 'baseline'."""
        return self._context("condition").condition  # type: ignore[no-any-return]

    @pytest.fixture
    def case(self) -> dict[str, Any]:
        """Case that is run, a copy, where the experiment declares cases=."""
        ctx = self._context(CASE)
        if CASE not in ctx:
            pytest.fail("fixture 'case' exists only where an experiment declares cases=", pytrace=False)
        return ctx[CASE]  # type: ignore[no-any-return]


def values_of(names: Iterable[str], ctx: FrozenContext) -> dict[str, Any]:
    """Return what some of these fixtures give in a run, apart from the case."""
    return {name: ctx if name == "ctx" else getattr(ctx, name) for name in names}


def is_ours(definition: Any) -> bool:
    """Return whether a fixture is one of these."""
    return isinstance(getattr(definition.func, "__self__", None), UnitFixtures)


def hidden_by(definition: Any, root: Path) -> str | None:
    """Say which fixture of the user's hides one of these; None if a definition hides none."""
    name = definition.argname
    if name not in (*RESERVED, CASE) or is_ours(definition):
        return None
    path, line = getfslineno(definition.func)
    return (
        f"fixture {name!r} at {relative(path, root)}:{line + 1} hides the one of crystallize, so replicates "
        "would not differ as they should; rename it"
    )


def asks_for_subtests(name: str) -> str:
    """Say why what is called so can't have subtests."""
    return f"{name} asks for {SUBTESTS!r}, but a condition run is no test; record metrics, or raise"


def refuse_unfit(definition: Any, request: Any) -> None:
    """Fail a run that has a fixture made which hides a reserved one, or reports tests."""
    if definition.argname == SUBTESTS:
        fault: str | None = asks_for_subtests(request.node.name)
    else:
        fault = hidden_by(definition, request.config.rootpath)
    if fault is not None:
        pytest.fail(fault, pytrace=False)
