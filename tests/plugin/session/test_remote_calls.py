"""Remote functions under pytest: which calls a session makes, and what it tells of them."""

import os
import signal
import time
from string import Template

import pytest
from model_servers import Fault, ModelServer

SOURCE = Template("""
import json, os, urllib.request
from crystallize import remote

@remote(key=$key, concurrency=4, $options)
def chat(**request):
    body = json.dumps({"model": "small", **request}).encode()
    asked = urllib.request.Request(os.environ["MODELS"] + "/chat/completions", body)
    with urllib.request.urlopen(asked) as reply:
        return json.load(reply)

@pytest.fixture(scope="session")
def introduction():
    return chat(messages=[{"role": "user", "content": "Who are you?"}])["choices"][0]["message"]["content"]

@pytest.mark.experiment(
    replicates=$replicates,
    treatments={"v2": {"prompt": "Think step by step."}},
    hypotheses=[Hypothesis(metric="tokens", direction="increase")],
)
def experiment_prompt(seed, introduction, prompt="Answer."):
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": introduction}]
    return {"tokens": $score(chat(messages=messages, seed=seed)["usage"]["total_tokens"])}
""")


@pytest.fixture
def served(project, models, monkeypatch):
    """Return a function that writes the project, and its server."""
    monkeypatch.setenv("MODELS", models.url)
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)

    def write(key="a", score="int", options="retries=1", replicates=6):
        parts = {"key": repr(key), "score": score, "options": options, "replicates": replicates}
        project.write(SOURCE.substitute(parts))

    return write


def told(result):
    return [line.removeprefix("remote ") for line in result.outlines if line.startswith("remote ")]


@pytest.mark.slow
def test_sessions_make_only_calls_whose_replies_are_not_kept(project, served, models):
    """Cold all, warm and with another scorer none, with another key all; a wide fixture's once."""
    served()
    cold = project.run()
    cold.assert_outcomes(passed=1)
    assert (models.unique, models.forget()) == (13, 13)
    assert told(cold)[0].startswith("chat: 13 of ")

    warm = project.run("--cache-clear")  # which runs go by; replies stay
    warm.assert_outcomes(passed=1)
    project.run().stdout.fnmatch_lines(["*12 of 12 runs from cache*"])
    served(score="float")
    scored = project.run()
    assert "from cache" not in scored.stdout.str()
    assert models.forget() == 0

    served(key="b")
    project.run().assert_outcomes(passed=1)
    assert models.forget() == 13
    project.run("--crystallize-remote=refresh").assert_outcomes(passed=1)
    assert models.forget() == 13
    pruned = project.run("--crystallize-prune-replies=0")
    pruned.stdout.fnmatch_lines(["note: 13 replies were deleted*"])
    served(key="b", score="float")
    project.run("--crystallize-remote=replay").assert_outcomes(passed=1)
    assert models.total == 0
    served(key="a")
    missing = project.run("--crystallize-remote=replay")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*MissingReplyError: chat(*no reply is kept under key 'a'*"])
    assert models.total == 0


def test_the_option_has_a_twin_in_the_ini_file(project, served, models):
    """What is no mode is refused, wherever it stands."""
    served()
    project.ini("crystallize_remote = replay\n")
    project.run().assert_outcomes(failed=1)
    assert models.total == 0
    project.ini("crystallize_remote = off\n")
    result = project.run()
    result.stderr.fnmatch_lines(["ERROR: ini option crystallize_remote is 'off'; allowed are live*"])


TOGETHER = """
import asyncio
from crystallize import remote

@remote(key="k")
async def chat(question):
    await asyncio.sleep(0.01)
    return len(question)

@remote(key="k")
def plain(question):
    return len(question)

@pytest.fixture(scope="session")
async def wide():
    return await chat("wide")

@pytest.fixture
async def own():
    return await chat("own")

@pytest.fixture
def of_thread():
    return plain("own")

@pytest.mark.experiment(replicates=5)
async def experiment_a(wide, own, of_thread):
    body = await asyncio.gather(chat("body"), asyncio.to_thread(plain, "thread"))
    return {"m": wide + own + of_thread + sum(body)}
"""


def test_runs_on_one_loop_have_replies_of_their_own(project, monkeypatch):
    """Whatever of a run calls; what is wider than runs is called once."""
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
    project.write(TOGETHER)
    result = project.run()
    result.assert_outcomes(passed=1)
    chat, plain = sorted(line.split(" calls")[0] for line in told(result))
    assert chat.startswith("chat: 11 of ")
    assert plain.startswith("plain: 10 of ")


def test_a_hung_call_is_named(project, served, models):
    """It costs its run, and no other."""
    served(options="retries=0, timeout=0.1")
    models.faults = lambda request: Fault(hangs=True) if request.get("seed", 1) % 2 == 0 else None
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RemoteTimeoutError: chat(*gave no reply within 0.1 s*"])


@pytest.mark.slow
def test_workers_share_what_they_call(project, served, models):
    """No call is made twice, no more are under way than declared, and the verdict is that of one process."""
    models.latency = 0.05
    served(replicates=12)
    project.run_workers().assert_outcomes(passed=1)
    assert (models.unique, models.total) == (25, 25)
    assert models.peak <= 4
    assert models.forget()
    served(replicates=12, score="float")
    result = project.run()
    assert told(result)[0].startswith("chat: 0 of ")
    assert models.total == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="groups of processes")
def test_a_killed_session_pays_again_only_what_was_under_way(project, served, models):
    """The next one takes every reply that had come."""
    models.latency = 0.2
    served(replicates=12)
    session = project.start("-n2")
    while len(models.answered) < 8:
        assert session.poll() is None
        time.sleep(0.01)
    os.killpg(session.pid, signal.SIGKILL)
    session.communicate()
    models.latency = 0
    project.run().assert_outcomes(passed=1)
    assert models.unique == 25
    assert models.total <= 25 + 2


KILLED = """
import signal
from crystallize import remote

@remote(key="k")
def chat(question, replicate, condition):
    return len(question)

@pytest.mark.experiment(replicates=6, treatments={"b": {}})
def experiment_a(replicate, condition):
    answered = chat("?", replicate, condition)
    if (replicate, condition) == (3, "b"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"m": answered}
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals")
def test_calls_of_a_killed_worker_are_counted(project, monkeypatch):
    """They were made, and have been paid for."""
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)
    project.write(KILLED)
    result = project.run_workers("--crystallize-cache=off")
    assert result.ret == 1
    assert told(result) == ["chat: 12 of 12 calls made, 0 saved"]


CLIENT = """
import openai, os
from crystallize import remote

@remote(key="small", concurrency=8)
async def chat(client, **request):
    return await client.chat.completions.create(**request)

@pytest.fixture
def client():
    return openai.AsyncOpenAI(base_url=os.environ["MODELS"], api_key="none", max_retries=0)

@pytest.mark.experiment(
    replicates=8,
    treatments={"v2": {"prompt": "Think step by step."}},
    hypotheses=[Hypothesis(metric="tokens", direction="increase")],
)
async def experiment_prompt(seed, client, prompt="Answer."):
    reply = await chat(client, model="small", seed=seed, messages=[{"role": "user", "content": prompt}])
    return {"tokens": reply["usage"]["total_tokens"]}
"""


@pytest.mark.slow
def test_runs_with_the_client_of_users_are_stored(project, monkeypatch):
    """Its sockets, its look-ups and a storm of refusals cost none."""
    pytest.importorskip("openai")
    with ModelServer(faults=[Fault(429, retry_after=0.1)] * 20) as models:
        monkeypatch.setenv("MODELS", models.url.replace("127.0.0.1", "localhost"))
        project.write(CLIENT)
        project.run_workers().assert_outcomes(passed=1)
        assert (models.unique, len(models.answered)) == (16, 16)
        assert models.forget() == 36
        result = project.run_apart("-n0")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*16 of 16 runs from cache*"])
        assert models.total == 0
