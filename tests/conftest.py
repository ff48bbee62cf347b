"""What all tests share.

The runs of pytester forget what they have imported. Numpy can't be loaded a second time, and the others
take longer to load than a test takes; so all are loaded here.
"""

import asyncio  # noqa: F401
import gc
import os
import signal

import hypothesis
import laws
import numpy  # noqa: F401
import pytest
import scipy.special  # noqa: F401

import crystallize
import crystallize.seam
import pytest_crystallize.session.activation
import pytest_crystallize.session.distributed  # noqa: F401

for package in (crystallize, crystallize.seam):
    for name in package.__all__:
        getattr(package, name)  # what a run imports and forgets would come back as another class

pytest_plugins = ["pytester", "clusters", "model_servers"]

# Processes that tests start share what one of them has compiled: else each compiles the packages for longer
# than most tests take. Those of this process keep to what it was started with.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Sessions collect garbage at their end; what is loaded here is none, and too much to be looked through.
gc.freeze()

# No test, nor any process that one starts, writes a secret to the home of whoever runs it.
os.environ["CRYSTALLIZE_CACHE_SECRET"] = "of the tests"

# Started in the background of a script, this process ignores interrupts, and so would those under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


SURROUNDINGS = (
    *("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"),
    *("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "PYTEST_ADDOPTS"),
)


@pytest.fixture(scope="session", autouse=True)
def _output_is_the_same_everywhere():
    """Hide from tests that they run in CI, or for somebody who wants colours or other options."""
    with pytest.MonkeyPatch.context() as patch:
        for name in SURROUNDINGS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _what_is_kept_is_no_garbage():
    """Keep what a file of tests leaves in memory out of what the sessions of the next ones look through."""
    yield
    gc.freeze()


@pytest.hookimpl(trylast=True)  # once the plugin of Hypothesis has loaded the profile that was asked for
def pytest_configure():
    if hypothesis.settings().derandomize:
        laws.leave_out_constants()


def pytest_collection_finish():
    """Keep what was collected out of garbage, as above: each session that a test runs looks through it."""
    gc.collect()
    gc.freeze()
