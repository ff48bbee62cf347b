"""Checks of verifiers under pytest: one item for each verifier or test of the user's that is collected."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crystallize.errors import VerifierCheckError
from crystallize.seam import printable_lines
from pytest_crystallize.collect.items import Unjudged
from pytest_crystallize.naming.places import place_of
from pytest_crystallize.pytest_seam import RunAgain, ShowsTraceback

if TYPE_CHECKING:
    from crystallize import Hypothesis

_ADVICE = (
    "If it is meant to be something else, such as a claim with a margin, mark the hypothesis with "
    "pytest.mark.skip where this is checked, and call check_verifier in a test of your own"
)


def own_part(hypothesis: Hypothesis) -> tuple[Any, Hashable] | None:
    """Return the verifier or the class of the test that the user wrote, and what tells it apart."""
    claim = hypothesis.claim
    if claim is None:
        verifier = hypothesis.verifier
        function, params = getattr(verifier, "function", verifier), getattr(verifier, "params", {})
        return function, (function, repr(sorted(params.items())), hypothesis.metrics)
    kind = type(claim.test)
    if claim.test is None or claim.deterministic or kind.__module__.partition(".")[0] == "crystallize":
        return None
    return kind, (kind, str(claim))


class VerifierItem(Unjudged, RunAgain, ShowsTraceback, pytest.Item):
    """A verifier or statistical test of the user's, tried on samples of every kind; passes if it is sound."""

    def __init__(self, *, hypothesis: Hypothesis, part: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hypothesis = hypothesis
        self.obj = part

    def runtest(self) -> None:
        """Check it as what it seems to be."""
        from crystallize.testing import check_verifier  # for nobody who checks none

        check_verifier(self.hypothesis, alternative=None, binary=None)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **options: Any) -> Any:
        """Show what was found wrong, with the smallest samples, and none of the code that looked for it."""
        if not isinstance(excinfo.value, VerifierCheckError):
            return super().repr_failure(excinfo, *args, **options)
        return printable_lines(f"{excinfo.value}\n\n{_ADVICE}")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where it is defined."""
        path, line = place_of(self.obj)
        return Path(path), line, self.name
