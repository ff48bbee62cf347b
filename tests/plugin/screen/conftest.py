"""A session that was recorded, and a child that tells it in place of pytest."""

import json
from pathlib import Path

import pytest

RECORDED = Path(__file__).with_name("events.jsonl")


class Recorded:
    """A child that tells given events; it ends when it is told to, or is interrupted.

    Attributes
    ----------
    asked : list of str or None
        Arguments that it was started with, once it was.
    """

    def __init__(self, events=()):
        self.left = list(events)
        self.asked = None
        self.exit_status = None
        self.interrupted = 0

    def events(self):
        events, self.left = self.left, []
        return events

    def output(self):
        return ""

    def interrupt(self):
        self.interrupted += 1
        self.exit_status = 2

    def close(self):
        pass


@pytest.fixture
def events():
    """Return the events of a session: a claim that stopped early, a failed run, a graph, cached runs."""
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def collected(events):
    """Return the events of looking for the same experiments."""
    started, found = ({**event} for event in events[:2])
    return [{**started, "collects_only": True}, found, {**events[-1], "exit_status": 0}]
