"""Does a new prompt answer better? Forty questions, two prompts, a model and a judge behind an API.

The model is a small server that this file starts on loopback, so that the example runs offline; with a real
one, only the `client` fixtures differ. Replies are kept: a second session makes no call, and neither does one
after an edit of `graded`, of a claim, or of this text. An edit of one prompt calls for that prompt alone.
"""

import re
from hashlib import blake2b

import pytest
from model_server import ModelServer
from openai import AsyncOpenAI

from crystallize import Cases, Hypothesis, remote

PLAIN = "Answer the question."
STEPWISE = "Answer the question. Think step by step."
JUDGE = "Reply with yes if the answer is polite, else with no."

CASES = Cases(
    [
        {
            "id": f"{topic}-{i}",
            "topic": topic,
            "question": f"What is {i + 12} {sign} {i + 3}?",
            "answer": answer(i),
        }
        for topic, sign, answer in (
            ("sum", "+", lambda i: 2 * i + 15),
            ("product", "*", lambda i: (i + 12) * (i + 3)),
        )
        for i in range(20)
    ]
)


def luck(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest(), "big") / 2**32


def answered(request: dict) -> str:
    """Answer as the model of this example: products are hard, and easier step by step."""
    prompt, question = (message["content"] for message in request["messages"])
    if prompt == JUDGE:
        return "yes" if "Gladly" in question else "no"
    left, sign, right = re.search(r"(\d+) (.) (\d+)", question).groups()
    value = int(left) + int(right) if sign == "+" else int(left) * int(right)
    able = 0.9 if sign == "+" else 0.85 if prompt == STEPWISE else 0.4
    if luck(prompt, question, request["seed"]) > able:
        value += 1
    return f"Gladly: it is {value}." if luck("tone", prompt, question, request["seed"]) < 0.95 else f"{value}"


@pytest.fixture(scope="session")
def server():
    with ModelServer(answered, latency=0.005) as server:
        yield server


@pytest.fixture(scope="session")
async def client(server):
    async with AsyncOpenAI(base_url=server.url, api_key="of nobody", max_retries=0) as client:
        yield client


@remote(key="model of the example, 1", concurrency=20, timeout=20)
async def chat(client, **request):
    return (await client.chat.completions.create(model="small", **request)).model_dump()


@remote(key="judge of the example, 1", concurrency=20, timeout=20, seed=False)
async def judge(client, answer):
    messages = [{"role": "system", "content": JUDGE}, {"role": "user", "content": answer}]
    reply = await client.chat.completions.create(model="judge", messages=messages, seed=0)
    return reply.choices[0].message.content == "yes"


def graded(answer: str, right: int) -> bool:
    """Return whether the last number of an answer is the right one."""
    return re.findall(r"\d+", answer)[-1:] == [str(right)]


@pytest.mark.experiment(
    cases=CASES,
    samples=2,
    slices="topic",
    treatments={"stepwise": {"prompt": STEPWISE}},
    hypotheses=[
        Hypothesis(metric="correct", direction="increase"),
        Hypothesis(metric="polite", direction="no_decrease", margin=0.15),
    ],
)
async def experiment_prompt(case, ctx, seed, client, prompt=PLAIN):
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": case["question"]}]
    reply = await chat(client, messages=messages, seed=seed)
    answer = reply["choices"][0]["message"]["content"]
    ctx.note("answer", answer)
    return {
        "correct": graded(answer, case["answer"]),
        "polite": await judge(client, answer),
        "tokens": reply["usage"]["total_tokens"],
    }
