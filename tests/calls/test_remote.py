"""What a remote function gives, and which of its calls are made."""

import asyncio
import os
import random
import socket
import threading
import time
from datetime import date
from pathlib import Path
from urllib.error import URLError

import pytest

from crystallize import Experiment, pipeline_step, remote
from crystallize.calls.counts import calls_made
from crystallize.calls.keeping import CASSETTES
from crystallize.errors import (
    CrystallizeWarning,
    DefinitionError,
    NotStorableError,
    RemoteError,
    RemoteTimeoutError,
    UnhashableValueError,
)
from crystallize.identity.audit import unheard


def test_a_call_is_made_once(ask, elsewhere):
    """The second has the reply of the first, made anew."""
    chat = ask()
    first = chat("why?")
    assert first == {"answer": "why?", "number": 1}
    first["answer"] = "changed by its user"
    assert ask()("why?") == {"answer": "why?", "number": 1}
    assert elsewhere.asked == ["why?"]
    counts = calls_made()["ask.<locals>.declared.<locals>.ask"]
    assert (counts.calls, counts.made, counts.kept) == (2, 1, 1)


@pytest.mark.parametrize("other", [{"key": "l"}, {"seed": False, "key": "m"}])
def test_another_key_is_another_call(ask, elsewhere, other):
    """Replies are told apart by it."""
    assert ask()("why?")["number"] == 1
    assert ask(**other)("why?")["number"] == 2


def test_arguments_tell_calls_apart_by_value_however_they_are_given(elsewhere):
    """Defaults count, and the order of keywords does not."""

    @remote(key="k")
    def chat(client, model="small", **request):
        return client.answer([model, request])

    chat(elsewhere, temperature=0.0, seed=1)
    chat(elsewhere, "small", seed=1, temperature=0.0)
    chat(elsewhere, model="small", seed=1, temperature=0)
    chat(elsewhere, model="large", seed=1, temperature=0.0)
    assert len(elsewhere.asked) == 3


class Model:
    """Object with `model_dump`, as models of pydantic are."""

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self, mode):
        return {**self.fields, "mode": mode}


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (None, None),
        (b"\x00\xff", b"\x00\xff"),
        ([1, 1.5, True, "\ud83d", {"a": None}], [1, 1.5, True, "\ud83d", {"a": None}]),
        (Model(text="x"), {"text": "x", "mode": "json"}),
    ],
    ids=["none", "bytes", "json", "model"],
)
def test_a_reply_is_of_the_same_type_on_a_miss_and_on_a_hit(value, given):
    """A model is its dump, both times."""

    @remote(key="k", ignore=("value",))
    def fetch(value):
        return value

    for _ in range(2):
        found = fetch(value)
        assert (found, type(found)) == (given, type(given))


def test_models_of_pydantic_are_their_dump():
    """With everything in them as JSON has it."""
    pydantic = pytest.importorskip("pydantic")
    reply = pydantic.create_model("Reply", day=(date, ...))

    @remote(key="k")
    def fetch():
        return reply(day=date(2026, 1, 2))

    assert fetch() == fetch() == {"day": "2026-01-02"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, (2,)]}, "its reply['a'][1] is a tuple"),
        ({1: 2}, "its reply has the key 1"),
        (float("nan"), "its reply is nan"),
        ({"a": {1}}, "its reply['a'] is a set"),
    ],
)
def test_what_json_does_not_keep_is_refused(value, said):
    """And not called again, since that would not help."""

    @remote(key="k", ignore=("value", "tries"), retry_on=lambda error: True)
    def fetch(value, tries):
        tries.append(1)
        return value

    tries = []
    with pytest.raises(NotStorableError, match="fetch") as raised:
        fetch(value, tries)
    assert tries == [1]
    assert said in str(raised.value)


def test_a_coroutine_is_no_reply():
    """A function that returns one is to be asynchronous itself."""

    @remote(key="k")
    def fetch():
        return asyncio.sleep(0)

    with pytest.raises(NotStorableError, match="declare it with async def"):
        fetch()


def test_a_client_is_left_out_unless_it_is_data(elsewhere):
    """What might be meant as an argument is not guessed at."""

    @remote(key="k")
    def ask(client, question):
        return elsewhere.answer(question)

    ask(object(), "why?")
    ask(None, "why?")
    assert elsewhere.asked == ["why?"]
    with pytest.raises(DefinitionError, match=r"'client' is left out.*'a name' is data; declare ignore=\(\)"):
        ask("a name", "why?")


def test_other_arguments_have_to_be_data(elsewhere):
    """An error names the one that is not, and what leaves it out."""

    def declared(**options):
        @remote(key="k", **options)
        def ask(llm, question):
            return elsewhere.answer(question)

        return ask

    with pytest.raises(UnhashableValueError, match=r"argument 'llm'.*ignore=\('llm',\)"):
        declared()(threading.Thread(), "why?")
    declared(ignore=("llm",))(threading.Thread(), "why?")
    assert elsewhere.asked == ["why?"]


def test_an_argument_among_keywords_can_be_left_out(elsewhere):
    """As headers may be that hold a secret."""

    @remote(key="k", ignore=("headers",))
    def ask(question, **more):
        return elsewhere.answer(question)

    ask("why?", headers={"a": "1"})
    ask("why?", headers={"a": "2"})
    assert elsewhere.asked == ["why?"]


def declare(**options):
    @remote(**{"key": "k", **options})
    def ask(question):
        return question


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": ""}, "key is ''; give a text"),
        ({"concurrency": 0}, "concurrency is 0; give an integer >= 1"),
        ({"retries": True}, "retries is True; give an integer >= 0"),
        ({"timeout": 0}, "timeout is 0; give a number > 0, or None"),
        ({"requests_per_minute": -1}, "requests_per_minute is -1"),
        ({"ignore": "question"}, r"ignore is the text 'question'; give a tuple"),
        ({"ignore": ("client",)}, "ignore= names 'client'; its parameters are question"),
        ({"retry_on": [KeyError]}, "retry_on is .*KeyError.*give a tuple of exception types"),
        ({"mode": "reply"}, "mode is 'reply'; allowed are live, replay, refresh"),
    ],
)
def test_wrong_declarations(options, said):
    """Each is refused when it is declared."""
    with pytest.raises(DefinitionError, match=said):
        declare(**options)


def test_data_that_a_function_encloses_is_refused():
    """No reply would be kept under it."""
    model = "small"
    with pytest.raises(DefinitionError, match="encloses 'model', 'small'"):

        @remote(key="k")
        def ask():
            return model


def test_a_generator_is_refused():
    """Its parts are no reply."""
    with pytest.raises(DefinitionError, match="gather what it yields"):

        @remote(key="k")
        async def ask():
            yield 1


def experiment_of(step, **options):
    return Experiment(0, [step], name="asking", **options)


@pytest.mark.parametrize(("seed", "calls"), [(True, 3), (False, 1)])
def test_each_replicate_has_its_own_reply_unless_seeds_do_not_count(ask, elsewhere, seed, calls):
    """Conditions share them; so do runs of the same seed."""
    chat = ask(seed=seed)

    @pipeline_step()
    def step(data, ctx, *, x=0):
        return data, {"number": chat("why?")["number"]}

    for _ in range(2):
        result = experiment_of(step(), treatments={"other": {"x": 1}}, replicates=3).run()
        assert not result.errors
    assert len(elsewhere.asked) == calls
    entries = [record.calls for record in result.records]
    assert {len(found) for found in entries} == {1}
    assert len({found[0].call for found in entries}) == calls


def test_a_thread_that_belongs_to_no_run_does_not_know_its_seed(ask):
    """What replicates would share then is an error."""
    chat, faults = ask(), []

    def call():
        try:
            chat("why?")
        except RemoteError as fault:
            faults.append(str(fault))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "in a thread that belongs to no run" in faults[0]


def test_a_thread_of_asyncio_belongs_to_its_run(ask, elsewhere):
    """Each run asks for itself."""
    chat = ask()

    async def step(data, ctx):
        reply = await asyncio.to_thread(chat, "why?")
        return data, {"number": reply["number"]}

    result = experiment_of(pipeline_step()(step)(), replicates=2).run()
    assert not result.errors
    assert len(elsewhere.asked) == 2


def test_equal_calls_under_way_are_awaited(ask, elsewhere):
    """Of many that come at a time, one is made."""
    elsewhere.seconds = 0.05

    @remote(key="k")
    async def chat(question, client=elsewhere):
        return await asyncio.to_thread(client.answer, question)

    async def together():
        return await asyncio.gather(*(chat(question) for question in "aabba"))

    found = asyncio.run(together())
    assert [reply["answer"] for reply in found] == [*"aabba"]
    assert sorted(elsewhere.asked) == ["a", "b"]


class Refused(Exception):
    """Exception that a client raises when its server replies a status."""

    def __init__(self, status, code=None, **headers):
        super().__init__(f"status {status}")
        self.status_code = status
        self.code = code
        self.response = type("Response", (), {"headers": headers, "status_code": status})


def test_failures_that_may_pass_are_tried_again(ask, elsewhere, monkeypatch):
    """As often as declared; then the last one is raised, and says how often it was tried."""
    monkeypatch.setattr("crystallize.calls.transient._FIRST", 0.001)
    chat = ask(retries=2)
    elsewhere.faults = [Refused(500), URLError(ConnectionRefusedError())]
    assert chat("a")["number"] == 3
    elsewhere.faults = [Refused(503)] * 3
    with pytest.raises(Refused, match="status 503") as raised:
        chat("b")
    assert "ask(question='b'): tried 3 times" in raised.value.__notes__[0]
    counts = calls_made()["ask.<locals>.declared.<locals>.ask"]
    assert (counts.made, counts.retries) == (2, 4)


@pytest.mark.parametrize("fault", [Refused(400), Refused(429, "insufficient_quota"), ValueError("wrong")])
def test_failures_that_stay_are_raised_at_once(ask, elsewhere, fault):
    """Trying again would change nothing; the next call is made, though."""
    chat = ask()
    elsewhere.faults = [fault]
    with pytest.raises(type(fault)):
        chat("a")
    assert chat("a")["number"] == 2


@pytest.mark.parametrize(
    "retry_on", [KeyError, (KeyError, ValueError), lambda error: isinstance(error, KeyError)]
)
def test_which_failures_pass_can_be_declared(ask, elsewhere, retry_on, monkeypatch):
    """By their types, or by a function."""
    monkeypatch.setattr("crystallize.calls.transient._FIRST", 0.001)
    elsewhere.faults = [KeyError("a")]
    assert ask(retry_on=retry_on)("a")["number"] == 2


def test_a_refusal_is_not_among_the_retries(ask, elsewhere):
    """However many there are, a call is made when they end; what the server asks for is waited."""
    elsewhere.faults = [Refused(429, **{"retry-after": "0.01"})] * 20
    assert ask(retries=1)("a")["number"] == 21
    counts = calls_made()["ask.<locals>.declared.<locals>.ask"]
    assert (counts.refusals, counts.retries) == (20, 20)
    assert counts.waited == pytest.approx(0.2)


def test_who_is_to_wait_too_long_gives_up_at_once(ask, elsewhere):
    """Ten minutes are as long as a call is refused."""
    elsewhere.faults = [Refused(429, **{"retry-after": "3600"})]
    with pytest.raises(Refused):
        ask()("a")
    assert elsewhere.asked == ["a"]


def test_a_hung_call_is_ended_and_named(ask, elsewhere):
    """In a thread, and on an event loop."""
    elsewhere.seconds = 5.0
    with pytest.raises(RemoteTimeoutError, match=r"ask\(question='a'\) gave no reply within 0.02 s"):
        ask(timeout=0.02, retries=0)("a")

    @remote(key="k", timeout=0.02, retries=0)
    async def wait(question):
        await asyncio.sleep(60)

    with pytest.raises(RemoteTimeoutError, match=r"wait\(question='a'\) gave no reply within 0.02 s"):
        asyncio.run(wait("a"))


def test_a_cancelled_call_leaves_its_place(elsewhere):
    """To the next one that is equal."""

    @remote(key="k", concurrency=1)
    async def wait(question, client=elsewhere):
        if not client.asked:
            client.asked.append(question)
            await asyncio.sleep(60)
        return question

    async def cancel():
        task = asyncio.ensure_future(wait("a"))
        while not elsewhere.asked:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return await wait("a")

    assert asyncio.run(cancel()) == "a"


def test_calls_draw_nothing_of_a_run(elsewhere):
    """Whatever a client draws, and however it waits: whether a call is made moves no generator."""

    @remote(key="k")
    def ask(question, client=elsewhere):
        random.random()
        return client.answer(question)

    @remote(key="k")
    async def chat(question, client=elsewhere):
        random.random()
        await asyncio.sleep(0)
        random.random()
        return client.answer(question)

    elsewhere.faults = [Refused(429, **{"retry-after": "0"})]
    state = random.getstate()
    ask("a")
    asyncio.run(chat("a"))
    assert random.getstate() == state


def asking(**options):
    """Return a function that leaves traces that make runs impure, and answers how often it did."""

    @remote(**{"key": "k", **options})
    def ask(question):
        with Path(os.environ["ASKED"]).open("a+") as file:
            file.write(question + "\n")
            file.seek(0)
            socket.getaddrinfo("127.0.0.1", 80)
            return len(file.readlines())

    return ask


def resumed(score, chat):
    """Run an experiment that asks; return which runs were stored, the values, and how often it asked."""

    @pipeline_step()
    def step(data, ctx):
        return data, {"score": score(chat("why?"))}

    result = experiment_of(step(), replicates=2).run(strategy="resume")
    assert not result.errors, result.errors
    asked = Path(os.environ["ASKED"]).stat().st_size // len("why?\n")  # nothing else but calls opens it
    return [record.cached for record in result.records], result.metrics.baseline.metrics["score"], asked


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))


@pytest.mark.usefixtures("project")
def test_a_run_with_calls_is_stored():
    """With another scorer it is made again, and no call; with another key, calls too."""
    assert resumed(abs, asking()) == ([False, False], [1, 2], 2)
    cached, values, asked = resumed(abs, asking())
    assert (any(cached), values, asked) == (True, [1, 2], 2)
    assert resumed(float, asking()) == ([False, False], [1.0, 2.0], 2)
    assert resumed(abs, asking(key="l")) == ([False, False], [3, 4], 4)


@pytest.mark.usefixtures("project")
def test_a_stored_run_is_used_only_with_the_replies_it_was_made_of():
    """Replies that were fetched anew since have it made again, without a call."""
    assert resumed(abs, asking(seed=False)) == ([False, False], [1, 1], 1)
    cached, values, asked = resumed(abs, asking(seed=False))
    assert (any(cached), values, asked) == (True, [1, 1], 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYSTALLIZE_REMOTE", "refresh")
        patch.setenv("CRYSTALLIZE_REMOTE_STARTED", repr(time.time()))
        assert asking(seed=False)("why?") == 2
    assert resumed(abs, asking(seed=False)) == ([False, False], [2, 2], 2)


@pytest.mark.usefixtures("project")
def test_a_cassette_that_was_changed_makes_runs_again(tmp_path):
    """As by a colleague who has called anew: its replies are compared with those of runs before any call."""
    options = {"seed": False, "cassette": tmp_path / "cassette"}
    assert resumed(abs, asking(**options)) == ([False, False], [1, 1], 1)
    (path,) = (tmp_path / "cassette").iterdir()
    CASSETTES.clear()  # as in a new process
    with unheard():  # it is the work of another one
        path.write_text(path.read_text().replace('"reply": 1', '"reply": 5'))
    assert resumed(abs, asking(**options)) == ([False, False], [5, 5], 1)
    with unheard():
        path.write_text("{")
    with pytest.raises(AssertionError, match="restore it, or delete it"):
        resumed(abs, asking(**options))


@pytest.mark.usefixtures("project")
def test_a_refresh_makes_runs_with_calls_again(monkeypatch):
    """Each call once more, and the runs that were given its reply."""
    assert resumed(abs, asking(seed=False)) == ([False, False], [1, 1], 1)
    monkeypatch.setenv("CRYSTALLIZE_REMOTE", "refresh")
    monkeypatch.setenv("CRYSTALLIZE_REMOTE_STARTED", repr(time.time()))
    assert resumed(abs, asking(seed=False)) == ([False, False], [2, 2], 2)
    cached, values, asked = resumed(abs, asking(seed=False))
    assert (any(cached), values, asked) == (True, [2, 2], 2)


@pytest.mark.usefixtures("project")
def test_a_cacheable_step_with_calls_is_made_again():
    """What it would be stored under says nothing of replies."""
    chat = asking()

    @pipeline_step(cacheable=True)
    def step(data, ctx):
        return data, {"score": chat("why?")}

    with pytest.warns(
        CrystallizeWarning, match="it makes remote calls, whose replies are kept by themselves"
    ):
        first = experiment_of(step()).run()
    with pytest.warns(CrystallizeWarning, match="remote calls"):
        second = experiment_of(step()).run()
    assert not any(record.cached_steps for record in (*first.records, *second.records))
    assert Path(os.environ["ASKED"]).read_text() == "why?\n"
