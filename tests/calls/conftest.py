"""Functions that answer from elsewhere, and what they were asked."""

import threading
import time

import pytest

from crystallize import remote
from crystallize.calls.counts import calls_made


class Elsewhere:
    """Server that keeps what it was asked, and answers; faults come first, one each."""

    def __init__(self):
        self.asked = []
        self.faults = []
        self.under_way = self.peak = 0
        self.seconds = 0.0
        self.lock = threading.Lock()

    def answer(self, question):
        with self.lock:
            self.asked.append(question)
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            fault = self.faults.pop(0) if self.faults else None
        try:
            if self.seconds:
                time.sleep(self.seconds)
            if fault is not None:
                raise fault
            return {"answer": question, "number": len(self.asked)}
        finally:
            with self.lock:
                self.under_way -= 1


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Keep replies in a directory of the test; return it."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CRYSTALLIZE_REMOTE", raising=False)
    monkeypatch.delenv("CRYSTALLIZE_REMOTE_STARTED", raising=False)
    calls_made(anew=True)
    return tmp_path / "cache" / "replies"


@pytest.fixture
def elsewhere():
    return Elsewhere()


@pytest.fixture
def ask(elsewhere):
    """Return a function that declares one, which asks elsewhere."""

    def declared(**options):
        @remote(**{"key": "k", **options})
        def ask(question, client=elsewhere):
            return client.answer(question)

        return ask

    return declared
