"""Make the pictures of the run screen in the guide: a session of pytest is recorded, and told to the screen.

Run it as ``python docs/images/make_screen_pictures.py``; it writes *.svg beside itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_crystallize.screen.app import RunScreen
from pytest_crystallize.screen.child import Child

IMAGES = Path(__file__).resolve().parent
EXPERIMENTS = """
import time

import pytest

from crystallize import *


@pytest.mark.experiment(
    replicates=400,
    treatments={"rerank": {"gain": 0.25}, "longer_query": {"gain": 0.05}, "two_stage": {"gain": 0.4}},
    hypotheses=[
        Hypothesis(metric="recall", direction="increase"),
        Hypothesis(metric="latency", direction="no_increase", margin=0.5),
    ],
)
def experiment_recall(rng, gain=0.0):
    time.sleep(0.003)
    latency = 1 + rng.normal() / 4 + rng.exponential(0.1 + gain / 5)
    return {"recall": rng.normal() + gain * rng.uniform(0.8, 1.2), "latency": latency}


@pytest.mark.experiment(
    replicates=200,
    treatments={"prompt_b": {"gain": 0.22}, "prompt_c": {"gain": 0.03}},
    hypotheses=[Hypothesis(metric="score", direction="increase")],
    stopping=GroupSequential(),
)
def experiment_prompts(rng, gain=0.0):
    time.sleep(0.003)
    return {"score": rng.normal() + (gain + 0.6 * rng.normal() if gain else 0.0)}


@pytest.mark.experiment(
    replicates=60,
    treatments={"strict": {"limit": 2.2}},
    hypotheses=[Hypothesis(metric="kept", direction="decrease")],
)
def experiment_parsing(rng, replicate, limit=9.0):
    print(f"parsing batch {replicate}")
    value = abs(rng.normal())
    if value > limit:
        raise ValueError(f"batch {replicate}: {value:.2f} is above the limit")
    return {"kept": value - (9.0 - limit) / 10}


weights = Artifact.json("weights.json")


@pipeline_step(cacheable=True)
def embed(data, *, size=8):
    return [x * size for x in data]


@pipeline_step()
def train(data, ctx, *, rate=1.0):
    ctx.artifacts.add("weights.json", [rate * x + ctx.rng.normal() for x in data])
    return data, {"loss": ctx.rng.normal() - sum(data) * rate}


@pipeline_step()
def evaluate(data, ctx):
    return data, {"accuracy": sum(data) + ctx.rng.normal()}


def experiment_chain():
    fast = Treatment("fast", {"rate": 1.3})
    falls = Hypothesis(metric="loss", direction="decrease")
    rises = Hypothesis(metric="accuracy", direction="increase")
    return ExperimentGraph(
        Experiment([1, 2], [embed, train], name="train", outputs=[weights], replicates=80,
                   treatments=[fast], hypotheses=[falls]),
        Experiment(weights, [evaluate], name="evaluate", replicates=80, hypotheses=[rises]),
    )
"""


class Picture(NamedTuple):
    """A picture: how large, in which theme, of which part of the session, and behind which keys."""

    name: str
    size: tuple[int, int]
    is_light: bool
    part: float
    keys: tuple[str, ...]


PICTURES = [
    Picture("run-dark", (110, 30), False, 0.3, ()),
    Picture("run-light", (110, 30), True, 0.3, ()),
    Picture("run-small", (80, 24), False, 0.3, ()),
    Picture("looks-light", (110, 30), True, 1.0, ("down",)),
    Picture("failure-dark", (110, 30), False, 1.0, ("f", "enter")),
    Picture("summary-light", (80, 24), True, 1.0, ("s",)),
    Picture("summary-dark", (80, 24), False, 1.0, ("s",)),
]


class Told(Child):
    """A session that tells what was recorded."""

    def __init__(self, events: Sequence[Mapping[str, Any]], status: int | None) -> None:
        self._left = list(events)
        self._status = status

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yield all events at once."""
        events, self._left = self._left, []
        yield from events

    def output(self) -> str:
        """Return nothing."""
        return ""

    @property
    def exit_status(self) -> int | None:
        """The given one."""
        return self._status

    def close(self) -> None:
        """Do nothing."""


def recorded() -> list[dict[str, Any]]:
    """Return the events of a session in which some runs were stored before it, and one treatment is off."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "experiment_retrieval.py").write_text(EXPERIMENTS, encoding="utf-8")
        pytest = [sys.executable, "-m", "pytest", "--crystallize", "-q", "-n0", "-p", "no:randomly"]
        for options in (
            ["--crystallize-replicates=150", "-k", "recall"],
            ["--crystallize-disable=longer_query", "--crystallize-events=events.jsonl"],
        ):
            subprocess.run([*pytest, *options], cwd=directory, check=False, stdout=subprocess.DEVNULL)
        text = (Path(directory) / "events.jsonl").read_text(encoding="utf-8").replace(directory, "/project")
    return [json.loads(line) for line in text.splitlines()]


async def draw(picture: Picture, events: Sequence[dict[str, Any]]) -> str:
    """Return a picture as SVG."""
    collected = [{**events[0], "collects_only": True}, *events[1:2], events[-1]]
    sessions = [Told(collected, 0)]
    is_over = picture.part == 1
    sessions.append(Told(events[: int(len(events) * picture.part)], 1 if is_over else None))
    screen = RunScreen(child=lambda _: sessions.pop(0))
    screen.animation_level = "none"
    async with screen.run_test(size=picture.size) as pilot:
        for key in ("r", *(["t"] if picture.is_light else []), *picture.keys):
            screen.tick()
            await pilot.pause(0.3)
            await pilot.press(key)
            screen.tick()
            await pilot.pause(0.3)
        svg = screen.export_screenshot()
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a page that shows it loads nothing


def main() -> None:
    """Make all pictures."""
    events = recorded()
    for picture in PICTURES:
        path = IMAGES / f"{picture.name}.svg"
        path.write_text(asyncio.run(draw(picture, events)), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
