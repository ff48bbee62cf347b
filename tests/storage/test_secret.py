"""The key of the authentication codes."""

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crystallize.storage import secret
from crystallize.storage.secret import Secret, find_secret

posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions there")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return where the secret is to be, in a home of its own."""
    monkeypatch.delenv("CRYSTALLIZE_CACHE_SECRET", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(secret, "_configuration", lambda: tmp_path) if sys.platform == "darwin" else None
    return tmp_path / "crystallize" / "cache-secret"


def test_the_environment_comes_first(path, monkeypatch):
    """No file is made then, and another text gives another key of 32 bytes."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "one")
    one = find_secret()
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "other" * 100)
    other = find_secret()
    assert (one.fault, other.fault) == (None, None)
    assert len(one.key) == len(other.key) == 32
    assert one.key != other.key
    assert not path.exists()


def test_an_empty_variable_is_none(path, monkeypatch):
    """Continuous integration sets it so where its secret is withheld; nobody shall guess that one."""
    monkeypatch.setenv("CRYSTALLIZE_CACHE_SECRET", "")
    assert find_secret().key
    assert path.exists()


def test_a_file_is_made_at_first_need(path):
    """It stays, so the second key is the first; and beside it nothing is left."""
    first = find_secret()
    assert find_secret() == first
    assert len(first.key) == 32
    assert list(path.parent.iterdir()) == [path]


@posix
def test_the_file_is_its_users_alone(path):
    """Neither it nor its directory can be entered by others, whatever the umask."""
    before = os.umask(0)
    try:
        find_secret()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_racing_for_the_first_secret_ends_with_one(path):
    """Whoever comes at the same time uses the same key."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: find_secret(), range(32)))
    assert len({one.key for one in found}) == 1
    assert list(path.parent.iterdir()) == [path]


def test_the_loser_of_a_race_takes_the_winners(path, monkeypatch):
    """A secret that appears while one is being made is not replaced."""
    theirs = "ab" * 32

    def late(*args):
        path.touch(mode=0o600)
        path.write_text(theirs + "\n")
        return link(*args)

    link = os.link
    monkeypatch.setattr(os, "link", late)
    assert find_secret().key == bytes.fromhex(theirs)
    assert list(path.parent.iterdir()) == [path]


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_open_to_others_is_refused(path, mode):
    """Somebody may know it already, so it is not repaired in silence."""
    find_secret()
    path.chmod(mode)
    found = find_secret()
    assert found.key is None
    assert found.fault == (
        f"the cache's secret {path} can be used by others (mode {mode:04o}): delete it, since they may know "
        "it, or set CRYSTALLIZE_CACHE_SECRET"
    )
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_file_of_somebody_else_is_refused(path, monkeypatch):
    """They could have chosen it."""
    find_secret()
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    found = find_secret()
    assert found.key is None
    assert f"belongs to user {owner}, not to user {owner + 1}" in found.fault


@pytest.mark.parametrize(
    "content", ["", "ab" * 31 + "\n", "ab" * 33, "xy" * 32, "ab" * 32 + "\n" + "ab" * 99]
)
def test_a_file_that_holds_no_secret_is_refused(path, content):
    """An empty key would be everybody's."""
    find_secret()
    path.write_text(content)
    found = find_secret()
    assert found.key is None
    assert "does not hold 32 bytes in hexadecimal: delete it" in found.fault


@posix
def test_a_pipe_is_not_waited_for(path):
    """Nobody writes to it, and it is no file."""
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    assert "is no regular file" in find_secret().fault


def test_without_a_place_there_is_no_secret(path):
    """The reason names the file, and the way out."""
    path.parent.write_text("in the way")
    found = find_secret()
    assert found.key is None
    assert found.fault.startswith(f"the cache's secret {path} can't be read or made: ")
    assert found.fault.endswith("; set CRYSTALLIZE_CACHE_SECRET")


@posix
def test_without_a_home_there_is_no_secret(path, monkeypatch):
    """A user who is in no list of users has none."""
    monkeypatch.delenv("XDG_CONFIG_HOME")

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert find_secret() == Secret(
        None, "there is no home directory for the cache's secret; set CRYSTALLIZE_CACHE_SECRET"
    )


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG specification is for others")
def test_a_relative_configuration_is_ignored(path, monkeypatch, tmp_path):
    """As its specification says: it would be inside a project."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert find_secret().key
    assert (tmp_path / "home" / ".config" / "crystallize" / "cache-secret").is_file()
    assert not (tmp_path / "here").exists()


def test_a_secret_is_not_shown():
    """Representations end up in logs."""
    assert repr(Secret(b"hidden")) == "Secret(fault=None)"
