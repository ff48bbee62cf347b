"""The server of chat completions, asked by the client that users have."""

import asyncio
import time

import pytest
from model_servers import Fault, ModelServer

openai = pytest.importorskip("openai")


def asked(client, content="How many?", **request):
    return client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": content}], **request
    )


def client_of(server):
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def test_answers_depend_on_the_request_alone(models):
    """Equal requests have equal answers, with the tokens counted; another seed has another one."""
    with client_of(models) as client:
        first, again, other = asked(client), asked(client), asked(client, seed=1)
    assert first.model_dump() == again.model_dump()
    assert first.choices[0].message.content != other.choices[0].message.content
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.total_tokens) == (2, 3, 5)
    assert (models.total, models.unique, models.peak) == (3, 2, 1)
    assert models.forget() == 3
    assert models.total == 0


def test_faults_come_in_order():
    """Calls meet the faults that the server was told, with their headers, and then answers."""
    with ModelServer(faults=[Fault(429, retry_after=0.5), Fault()]) as server, client_of(server) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            asked(client)
        assert refused.value.response.headers["retry-after"] == "0.5"
        with pytest.raises(openai.InternalServerError):
            asked(client)
        asked(client)
    assert [call.status for call in server.calls] == [429, 500, 200]


def test_a_call_that_hangs_ends_with_the_server():
    """Nothing is replied; the other calls are not held up."""
    hung = Fault(hangs=True)
    with ModelServer(faults=lambda request: hung if request.get("seed") == 0 else None) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=0.2)
        with client, pytest.raises(openai.APITimeoutError):
            asked(client, seed=0)
        with client_of(server) as client:
            asked(client)


def test_calls_under_way_are_counted():
    """The peak is how many calls waited together: here each for all of them."""

    async def ask_all(server):
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            await asyncio.gather(*(asked(client, seed=seed) for seed in range(4)))

    def until_all_have_come(request):
        while server.peak < 4:
            time.sleep(0.001)
        return 0

    with ModelServer(latency=until_all_have_come) as server:
        asyncio.run(ask_all(server))
    assert (server.total, server.peak) == (4, 4)
