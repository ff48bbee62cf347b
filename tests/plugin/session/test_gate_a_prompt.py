"""A prompt is gated: cases, a model and a judge asked by the client of users, and what every change costs."""

import json
from collections import deque
from string import Template

import pytest
from model_servers import Fault, ModelServer

pytestmark = pytest.mark.slow

PROGRAM = Template("""
import os, re
from openai import AsyncOpenAI
from crystallize import Budget, Cases, remote

V1, V2 = "Answer the question.", "$prompt"

@pytest.fixture(scope="session")
async def client():
    url = os.environ["MODELS"]
    async with AsyncOpenAI(base_url=url, api_key="of nobody", max_retries=0, timeout=$timeout) as client:
        yield client

@remote(key="small 2026-01", concurrency=50, retries=$retries, timeout=$timeout)
async def chat(client, **request):
    return (await client.chat.completions.create(**request)).model_dump()

@remote(key="small 2026-01", retries=0, timeout=1)
async def hurried_chat(client, **request):
    return (await client.chat.completions.create(**request)).model_dump()

@remote(key="judge 2026-01", seed=False, timeout=$timeout)
async def judge(client, answer):
    messages = [{"role": "system", "content": "Is it polite?"}, {"role": "user", "content": answer}]
    reply = await client.chat.completions.create(model="judge", messages=messages)
    return reply.choices[0].message.content == "yes"

@pytest.mark.experiment(
    cases=Cases.jsonl("cases.jsonl"), treatments={"v2": {"prompt": V2}}, max_concurrency=50, $options
    hypotheses=[Hypothesis(metric="correct", direction="no_decrease", margin=0.1, $missing)],
)
async def experiment_prompt(case, ctx, seed, client, prompt=V1):
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": case["question"]}]
    reply = await $asked(client, model="small", seed=seed, messages=messages)
    answer = reply["choices"][0]["message"]["content"]
    ctx.note("answer", answer)
    return {"correct": $scored, "polite": await judge(client, answer)}
""")
DEFAULTS = {
    "prompt": "Answer the question. Think step by step.",
    "scored": "case['answer'] in answer",
    "asked": "chat",
    "timeout": "600",  # of connecting, too: on a loaded machine fifty at once may take minutes
    "retries": "2",
    "options": "",
    "missing": "",
}


def answer(request):
    """Answer as a model that is right more often step by step."""
    prompt, question = (message["content"] for message in request["messages"])
    if request["model"] == "judge":
        return "yes" if question.startswith("It") else "no"
    number = int(question.split()[2])
    wrong = number % (9 if "step" in prompt else 5) == 0
    return f"It is {2 * number + wrong}."


class Gate:
    """A project that gates a prompt, and its server."""

    def __init__(self, project, models):
        self.project = project
        self.models = models

    def write(self, numbers=range(200), **parts):
        rows = [{"id": f"q{n}", "question": f"What is {n} + {n}?", "answer": f" {2 * n}."} for n in numbers]
        self.project.raw("cases.jsonl", "\n".join(map(json.dumps, rows)))
        self.project.write(PROGRAM.substitute({**DEFAULTS, **parts}))

    def session(self, *args):
        """Return calls to the model, calls to the judge, and the report's experiment."""
        self.models.forget()
        self.result = self.project.run_apart("--crystallize-report=report.json", *args)
        models = [call.request["model"] for call in self.models.calls]
        (found,) = self.project.json("report.json")["experiments"]
        return models.count("small"), models.count("judge"), found


@pytest.fixture
def gate(project, monkeypatch):
    pytest.importorskip("openai")
    with ModelServer(answer) as models:
        monkeypatch.setenv("MODELS", models.url)
        monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
        yield Gate(project, models)


def said(found):
    return found["digests"], [test["verdict"]["p_value"] for test in found["tests"]]


def test_only_what_is_new_is_asked(gate):
    """Whatever else is edited, and whoever runs it: each call is made once."""
    gate.write()
    *calls, cold = gate.session("-n0")
    gate.result.assert_outcomes(passed=1)
    answers = {answer(call.request) for call in gate.models.calls if call.request["model"] == "small"}
    assert calls == [400, len(answers)]
    assert gate.models.unique == gate.models.total
    *calls, warm = gate.session("-n2")
    assert calls == [0, 0]
    assert said(warm) == said(cold)

    gate.write(scored="float(case['answer'] in answer)")
    assert gate.session("-n0")[:2] == (0, 0)
    gate.write(prompt="Think step by step.")
    assert gate.session("-n2")[:2] == (200, 0)
    gate.write(numbers=[*range(200), 1000])
    assert gate.session("-n0")[:2] == (2, 2)
    gate.write(numbers=range(5, 200))
    assert gate.session("-n2")[:2] == (0, 0)


def test_workers_give_the_verdict_of_one_process_from_cold(gate):
    """With the calls of one process, no more of which are under way than declared."""
    gate.write(numbers=range(60))
    *calls, together = gate.session("-n2")
    assert gate.models.peak <= 100  # of the model, and of the judge
    assert gate.models.unique == gate.models.total == sum(calls)
    *calls, alone = gate.session("-n0", "--crystallize-cache=off", "--crystallize-remote=refresh")
    assert calls[0] == 120
    assert said(alone) == said(together)


def test_refusals_lose_no_run(gate):
    """A storm of them has everybody wait, and nobody fail."""
    gate.write(numbers=range(60))
    gate.models.faults = deque([Fault(429, retry_after=0.05)] * 100)
    *_, found = gate.session("-n2")
    gate.result.assert_outcomes(passed=1)
    assert found["failures"] == []
    assert gate.models.unique == len(gate.models.answered)


@pytest.mark.parametrize("hangs", [False, True])
def test_one_case_that_always_fails(gate, hangs):
    """It voids the verdict unless a missing case is allowed, and is named."""
    fault = Fault(400, hangs=hangs)
    gate.models.faults = lambda request: fault if "What is 7 +" in str(request) else None
    asked = "(hurried_chat if case['id'] == 'q7' else chat)" if hangs else "chat"
    gate.write(numbers=range(60), asked=asked, retries="0")
    gate.session("-n0")
    gate.result.assert_outcomes(failed=1)
    gate.result.stdout.fnmatch_lines(["*'q7'*"])
    gate.result.stdout.fnmatch_lines(["*chat(*gave no reply within 1 s*" if hangs else "*400*"])
    gate.write(numbers=range(60), asked=asked, retries="0", missing="nan_policy='omit', max_missing=0.05")
    gate.session("-n0")
    gate.result.assert_outcomes(passed=1)
    gate.result.stdout.fnmatch_lines(["*1 case of 60 lacks a value*"])


def test_a_budget_is_spent_and_the_next_session_goes_on(gate):
    """No call is made twice, and the last session's verdict is that of a session without a budget."""
    gate.write(numbers=range(60), options="budget=Budget(calls=100),")
    first, *_ = gate.session("-n0")
    gate.result.assert_outcomes(failed=1)
    gate.result.stdout.fnmatch_lines(["*budget spent at * of 60 cases*"])
    second, *_, found = gate.session("-n0")
    gate.result.assert_outcomes(passed=1)
    assert first + second == 120
    gate.write(numbers=range(60))
    calls, _, whole = gate.session("-n0")
    assert calls == 0
    assert said(whole) == said(found)
