"""One comparison of two prompts, in Crystallize, inspect-ai and pytest-evals: lines of code and wall time.

200 cases, two prompts, one model on a server of loopback that takes 50 ms for an answer. Each tool runs its
shortest idiomatic program, in a process of its own, cold, and again. Lines are those that are not empty.

Run ``python benchmarks/prompt_tools.py`` in an environment of its own, which has the other tools:
``pip install -e '.[remote]' openai inspect-ai pytest-evals``.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "example_suite"))

from model_server import ModelServer

CASES = 200
LATENCY = 0.05  # seconds

SHARED = """
    V1, V2 = "Answer the question.", "Answer the question. Think step by step."
    CASES = [{"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(200)]
"""

CRYSTALLIZE = """
    import pytest
    from openai import AsyncOpenAI
    from crystallize import Cases, Hypothesis, remote
    from shared import CASES, V1, V2

    @pytest.fixture(scope="session")
    async def client():
        async with AsyncOpenAI() as client:
            yield client

    @remote(key="small", concurrency=50)
    async def chat(client, **request):
        return (await client.chat.completions.create(model="small", **request)).model_dump()

    @pytest.mark.experiment(
        cases=Cases(CASES), max_concurrency=50, treatments={"v2": {"prompt": V2}},
        hypotheses=[Hypothesis(metric="correct", direction="no_decrease", margin=0.05)],
    )
    async def experiment_prompt(case, seed, client, prompt=V1):
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": case["question"]}]
        reply = await chat(client, messages=messages, seed=seed)
        return {"correct": case["answer"] in reply["choices"][0]["message"]["content"]}
"""

INSPECT = """
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, system_message
    from shared import CASES, V1, V2

    dataset = MemoryDataset([Sample(id=c["id"], input=c["question"], target=c["answer"]) for c in CASES])
    tasks = [
        Task(dataset=dataset, solver=[system_message(prompt), generate()], scorer=includes(), name=name)
        for name, prompt in (("v1", V1), ("v2", V2))
    ]
    options = dict(max_connections=50, max_tasks=2, display="none", model_args={"responses_api": False})
    for log in eval(tasks, model="openai/small", **options):
        print(log.eval.task, log.results.scores[0].metrics["accuracy"].value)
"""

PYTEST_EVALS = """
    import pytest
    from openai import OpenAI
    from shared import CASES, V1, V2

    @pytest.fixture(scope="session")
    def client():
        with OpenAI() as client:
            yield client

    @pytest.mark.eval(name="prompt")
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
    @pytest.mark.parametrize("prompt", [V1, V2], ids=["v1", "v2"])
    def test_prompt(case, prompt, client, eval_bag):
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": case["question"]}]
        reply = client.chat.completions.create(model="small", messages=messages)
        eval_bag.prompt, eval_bag.correct = prompt, case["answer"] in reply.choices[0].message.content

    @pytest.mark.eval_analysis(name="prompt")
    def test_analysis(eval_results):
        for prompt in (V1, V2):
            found = [r.result.correct for r in eval_results if r.result.prompt == prompt]
            print(sum(found) / len(found))
            assert sum(found) / len(found) >= 0.8
"""

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly")
PROGRAMS: dict[str, tuple[str, str, list[tuple[str, ...]]]] = {
    "crystallize": (
        "experiment_prompt.py",
        CRYSTALLIZE,
        [(*PYTEST, "--crystallize", "experiment_prompt.py")],
    ),
    "inspect-ai": ("prompt.py", INSPECT, [(sys.executable, "prompt.py")]),
    "pytest-evals": (
        "test_prompt.py",
        PYTEST_EVALS,
        [(*PYTEST, "--run-eval", "test_prompt.py"), (*PYTEST, "--run-eval-analysis", "-s", "test_prompt.py")],
    ),
}


def answer(request: dict[str, Any]) -> str:
    """Answer rightly, but for one question in eight."""
    number = int(re.findall(r"\d+", request["messages"][-1]["content"])[0])
    return f"It is {2 * number + (number % 8 == 0)}."


def seconds(directory: Path, commands: list[tuple[str, ...]], url: str) -> float:
    """Return how long a program takes that has to succeed."""
    environ = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "of nobody"}
    start = time.perf_counter()
    for command in commands:
        done = subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - start


def main() -> None:
    """Print a row for each tool."""
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("inspect-ai", "pytest-evals")
    )
    print(f"{CASES} cases x 2 prompts, {1000 * LATENCY:.0f} ms an answer; {versions}")
    print(f"{'':14}lines     cold    again   calls cold, again   says")
    says = {
        "crystallize": "verdict, p, interval, which cases changed",
        "inspect-ai": "two accuracies, with standard errors",
        "pytest-evals": "two accuracies, over a bound or not",
    }
    for name, (file, text, commands) in PROGRAMS.items():
        with tempfile.TemporaryDirectory() as directory, ModelServer(answer, latency=LATENCY) as server:
            (Path(directory) / "shared.py").write_text(textwrap.dedent(SHARED))
            (Path(directory) / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
            (Path(directory) / file).write_text(textwrap.dedent(text))
            taken, calls = [], []
            for _ in range(2):
                taken.append(seconds(Path(directory), commands, server.url))
                calls.append(server.forget())
            lines = sum(bool(line.strip()) for line in text.splitlines())
            figures = f"{lines:5}{taken[0]:7.1f} s{taken[1]:7.1f} s {calls[0]:8} {calls[1]:8}"
            print(f"{name:14}{figures}   {says[name]}")


if __name__ == "__main__":
    main()
