"""The boundary to code of the user's under pytest: which outcomes skip a run, and which end the session."""

from __future__ import annotations

import unittest

import pytest

from crystallize.boundary import ends_everything

FAILURES = (BaseException,)
"""What a condition run may fail with; `check_failure` raises again what asks for the end of the session."""

SKIPS = (pytest.skip.Exception, unittest.SkipTest)
"""What skips a condition run."""

UNJUDGED = (*SKIPS, pytest.xfail.Exception)
"""What pytest takes for no failure of a test."""

ends_everything(pytest.exit.Exception)  # also where the library alone calls code of the user's
