"""The boundary to code of the user's under pytest: which outcomes skip a run, and which end the session."""

from __future__ import annotations

import unittest

import pytest

from crystallize.seam import ends_everything, text_of

FAILURES = (BaseException,)
"""What a condition run may fail with; `check_failure` raises again what asks for the end of the session."""

SKIPS = (pytest.skip.Exception, unittest.SkipTest)
"""What skips a condition run."""

UNJUDGED = (*SKIPS, pytest.xfail.Exception)
"""What pytest takes for no failure of a test."""

ends_everything(pytest.exit.Exception)  # also where the library alone calls code of the user's


def is_skip(error: BaseException) -> bool:
    """Return whether pytest takes what was raised for a skip, as it takes a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(SKIPS)[1] is None
    return isinstance(error, SKIPS)


def too_late(skip: BaseException) -> RuntimeError:
    """Return what a skip in a teardown is: a failure, since it would hide what was run."""
    fault = RuntimeError(f"a fixture skipped in its teardown: {text_of(skip)}")
    fault.__cause__ = skip
    return fault
