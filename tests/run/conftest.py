"""What tests of cacheable steps share."""

import logging

import pytest
from cached_steps import CALLS

from crystallize.identity.opened_files import OPENED, Openings


class _Counter(logging.Handler):
    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        self.names.append(record.getMessage())


@pytest.fixture
def calls(monkeypatch):
    """Names of the steps that were really called."""
    counter = _Counter()
    monkeypatch.setattr(CALLS, "handlers", [counter])
    monkeypatch.setattr(CALLS, "propagate", False)
    CALLS.setLevel(logging.INFO)
    return counter.names


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give each test a cache of its own, a directory to leave artifacts in, and no files of other tests."""
    for group in ("_openings", "_temporary"):
        monkeypatch.setattr(OPENED, group, Openings())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "of these tests")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "steps"
