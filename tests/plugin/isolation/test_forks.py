"""How long forked processes that come back late are waited for."""

import multiprocessing
import os
import select

import pytest

from pytest_crystallize.isolation import forks as module
from pytest_crystallize.isolation.forks import CHILD_SECONDS, ForkedProcessCameBack, Forks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@pytest.fixture
def late(monkeypatch):
    """Return forks with a child that comes back once it is waited for, and how long that would be done."""
    go, waits = os.pipe(), []

    class Select:
        PIPE_BUF = select.PIPE_BUF

        @staticmethod
        def select(read, write, failed, seconds):
            waits.append(seconds)
            os.write(go[1], b"x")
            return select.select(read, write, failed, 600)

    monkeypatch.setattr(module, "select", Select)
    forks = Forks()
    forks.begin()
    if (child := os.fork()) == 0:
        os.read(go[0], 1)
        forks.leave("there")
    yield forks, waits
    os.waitpid(child, 0)
    for descriptor in go:
        os.close(descriptor)


@pytest.mark.parametrize("workers", [[], ["a process that never comes back"]])
def test_a_child_is_waited_for_unless_it_may_be_one_that_never_comes_back(late, monkeypatch, workers):
    """Those of multiprocessing that are still there end with this process, and each session would wait."""
    forks, waits = late
    monkeypatch.setattr(multiprocessing, "active_children", lambda: workers)
    with pytest.raises(ForkedProcessCameBack, match="forked in there came back"):
        forks.check(at_end=True)
    assert waits == [1.0 if workers else CHILD_SECONDS]
    assert CHILD_SECONDS > 1
