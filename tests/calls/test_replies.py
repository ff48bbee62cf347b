"""Where replies are kept, and who believes them."""

import json
import os
import shutil
import time
from importlib import import_module

import pytest

from crystallize import remote
from crystallize.calls.replies import prune_replies
from crystallize.errors import DefinitionError, MissingReplyError, RemoteError
from crystallize.storage.secret import Secret


@pytest.fixture
def mode(monkeypatch):
    """Return a function that sets the mode of this process."""

    def say(text):
        monkeypatch.setenv("CRYSTALLIZE_REMOTE", text)
        monkeypatch.setenv("CRYSTALLIZE_REMOTE_STARTED", repr(time.time()))

    return say


def files(directory, pattern="*"):
    return sorted(path for path in directory.rglob(pattern) if path.is_file())


def test_replay_makes_no_call(ask, elsewhere, mode):
    """What is not kept is an error that names the call."""
    ask()("a")
    mode("replay")
    assert ask()("a")["number"] == 1
    with pytest.raises(MissingReplyError, match=r"ask\(question='b'.*no reply is kept under key 'k'"):
        ask()("b")
    assert elsewhere.asked == ["a"]


def test_refresh_makes_each_call_once_more(ask, elsewhere, mode):
    """However often it is called; the new reply stands."""
    ask()("a")
    mode("refresh")
    assert [ask()("a")["number"] for _ in range(3)] == [2, 2, 2]
    mode("live")
    assert ask()("a")["number"] == 2
    assert elsewhere.asked == ["a", "a"]


def test_the_environment_comes_before_what_is_declared(ask, mode):
    """And is refused if it is no mode."""
    mode("live")
    ask(mode="replay")("a")
    mode("off")
    with pytest.raises(DefinitionError, match="CRYSTALLIZE_REMOTE is 'off'; allowed are live"):
        ask()("a")


def test_what_is_declared_comes_before_nothing(ask):
    """Replay can be asked for by a function itself."""
    with pytest.raises(MissingReplyError):
        ask(mode="replay")("a")


@pytest.mark.parametrize("change", ["flipped", "moved", "another secret"])
def test_a_forged_reply_is_none(ask, elsewhere, directory, change, monkeypatch):
    """The call is made, as if nothing was kept."""
    ask()("a")
    (path,) = files(directory, "*.value")
    if change == "flipped":
        path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":9'))
    elif change == "moved":
        ask()("b")
        (other,) = {*files(directory, "*.value")} - {path}
        shutil.copy(path, other)
        assert ask()("b")["answer"] == "b"
        return
    else:
        monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "of somebody else")
        monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(directory.parent / "copied"))
        shutil.copytree(directory, directory.parent / "copied" / "replies")
    assert ask()("a")["number"] == 2


def test_no_version_control_takes_up_replies(ask, directory):
    """They may hold what nobody is to publish."""
    ask()("a")
    assert (directory / ".gitignore").read_text() == "*\n"


def test_a_reply_that_can_not_be_kept_is_an_error(ask, elsewhere, directory):
    """Else its call would be made, and paid, in each session; it is not tried again."""
    directory.parent.mkdir()
    directory.write_text("no directory")
    with pytest.raises(RemoteError, match="replies can't be kept in"):
        ask()("a")
    assert elsewhere.asked == []


def test_without_a_secret_nothing_is_paid(ask, elsewhere, monkeypatch):
    """No reply could be believed later."""
    monkeypatch.setattr("crystallize.calls.replies.find_secret", lambda: Secret(None, "there is no home"))
    with pytest.raises(RemoteError, match="no call is made: there is no home"):
        ask()("a")
    assert elsewhere.asked == []


def test_pruning_spares_what_was_used(ask, elsewhere, directory):
    """A look at a reply counts as use."""
    for question in "abc":
        ask()(question)
    for path in files(directory, "*.value"):
        os.utime(path, (0, 0))
    used = time.time() - 60
    ask()("b")
    assert prune_replies(directory, used) == (2, 1)
    ask()("b")
    assert elsewhere.asked == [*"abc"]
    ask()("a")
    assert elsewhere.asked == [*"abca"]


# Cassettes.


def test_a_cassette_is_enough(ask, elsewhere, tmp_path, mode, monkeypatch):
    """Whoever has it replays, without the secret and the store of who made it."""
    cassette = tmp_path / "replies"
    ask(cassette=cassette)("a")
    (path,) = files(cassette)
    body = json.loads(path.read_text())
    assert path.name == f"{body['function'].replace('<', '%3C').replace('>', '%3E')}-{body['call']}.json"
    assert (body["key"], body["arguments"], body["reply"]) == (
        "k",
        {"question": "a"},
        {"answer": "a", "number": 1},
    )
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "of somebody else")
    mode("replay")
    assert ask(cassette=cassette)("a") == {"answer": "a", "number": 1}
    with pytest.raises(MissingReplyError, match=r"looked in .*replies and "):
        ask(cassette=cassette)("b")
    assert elsewhere.asked == ["a"]


def test_a_cassette_is_filled_from_what_is_kept(ask, elsewhere, tmp_path):
    """One that is declared later lacks nothing that was asked before."""
    ask()("a")
    ask(cassette=tmp_path / "replies")("a")
    assert len(files(tmp_path / "replies")) == 1
    assert elsewhere.asked == ["a"]


def test_a_cassette_lies_beside_the_file(tmp_path, monkeypatch):
    """A relative path is relative to the function's."""
    source = "@crystallize.remote(key='k', cassette='kept')\ndef give(): return b'bytes'\n"
    (tmp_path / "giving.py").write_text("import crystallize\n\n" + source)
    monkeypatch.syspath_prepend(tmp_path)
    giving = import_module("giving")

    assert giving.give() == giving.give() == b"bytes"
    (path,) = files(tmp_path / "kept")
    assert json.loads(path.read_text())["bytes"] == "Ynl0ZXM="


def test_what_is_redacted_is_kept_nowhere(ask, elsewhere, tmp_path):
    """The caller is given what is kept, on the first call too."""

    def redact(entry):
        return {"arguments": {"question": "(left out)"}, "reply": {"answer": entry["reply"]["answer"][:1]}}

    chat = ask(redact=redact, cassette=tmp_path / "replies")
    assert chat("asecret") == chat("asecret") == {"answer": "a"}
    assert files(tmp_path)
    assert not [path for path in files(tmp_path) if b"secret" in path.read_bytes()]
    assert elsewhere.asked == ["asecret"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "crystallize-reply-1", "call": "another"}'])
def test_a_broken_cassette_is_an_error(ask, elsewhere, tmp_path, text):
    """It is code: nothing stands in for it in silence."""
    ask(cassette=tmp_path / "replies")("a")
    (path,) = files(tmp_path / "replies")
    path.write_text(text)
    with pytest.raises(RemoteError, match=r"holds no reply.*restore it, or delete it"):
        ask(cassette=tmp_path / "replies")("a")
    assert elsewhere.asked == ["a"]


def test_a_changed_cassette_is_believed(ask, elsewhere, tmp_path):
    """It comes before the store."""
    ask(cassette=tmp_path / "replies")("a")
    (path,) = files(tmp_path / "replies")
    path.write_text(path.read_text().replace('"number": 1', '"number": 7'))
    assert ask(cassette=tmp_path / "replies")("a")["number"] == 7


def test_functions_of_one_name_and_key_are_refused(tmp_path, monkeypatch):
    """In two files they would share replies."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.py").write_text(
            "from crystallize import remote\n\n@remote(key='k')\ndef ask(): return 1\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    first = import_module("first")

    with pytest.raises(DefinitionError, match=r"ask in .*second.py has the key 'k', as ask in .*first.py"):
        import_module("second")
    assert first.ask() == 1


def test_a_key_is_a_parameter_without_default():
    """Nothing could stand in for it."""
    with pytest.raises(TypeError, match="key"):
        remote()
