"""Only regular files of bounded size are read."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from crystallize.analysis.reference_file import load_reference
from crystallize.errors import FingerprintError, ReferenceFileError
from crystallize.identity.inputs import input_digests
from crystallize.storage import regular
from crystallize.storage.regular import read_regular
from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")


def in_its_place(path, kind):
    """Put something that is no regular file, or a huge one, at a path."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(2 << 30)
    elif kind == "without a size":
        path.symlink_to("/proc/self/maps")


KINDS = ["pipe", "device", "directory", "loop", "huge"]
if sys.platform == "linux":
    KINDS.append("without a size")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_that_is_no_file_is_refused(tmp_path, kind):
    """At once, and with its name."""
    path = tmp_path / "a.json"
    in_its_place(path, kind)
    with pytest.raises(ReferenceFileError, match=r"a\.json can't be read: "):
        load_reference(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_result_that_is_no_file_is_a_miss(tmp_path, kind):
    """Values of their own and packs alike; the store goes on."""
    store = Store(tmp_path, Secret(bytes(32)))
    assert store.put("key", Encoded("json", b"1"))
    assert store.publish("slot", {"a": "b"}, {"one": Encoded("json", b"1")})
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        in_its_place(path, kind)
    assert store.get("key") is None
    assert store.load("slot", {"a": "b"}) == {}
    assert store.explain("slot") is None
    store.tidy()
    assert store.fault is not None or store.rejected


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_an_input_that_is_no_file_has_no_digest(tmp_path, kind):
    """It would be waited for, or never end."""
    in_its_place(tmp_path / "data", kind)
    with pytest.raises(FingerprintError, match=r"names .*data, which can't be read"):
        input_digests(tmp_path, "data")


def test_links_to_files_are_followed(tmp_path):
    """Build systems put links in the place of sources."""
    (tmp_path / "file").write_bytes(b"12345")
    link = Path(tmp_path / "link")
    link.symlink_to("file")
    assert read_regular(link, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, and at most 4 are read"):
        read_regular(link, 4)


@pytest.mark.parametrize("before", [b"", b"abc"])
def test_a_file_that_grows_while_it_is_read_is_refused(before, tmp_path, monkeypatch):
    """It may be torn."""
    path = tmp_path / "growing"
    path.write_bytes(before)
    status_of = os.fstat

    def grown(descriptor):
        status = status_of(descriptor)
        with path.open("ab") as file:
            file.write(b"more")
        return status

    monkeypatch.setattr(regular, "os", SimpleNamespace(**{**vars(os), "fstat": grown}))
    with pytest.raises(OSError, match="it grew while it was read"):
        read_regular(path, 100)


@pytest.mark.parametrize("content", [b"", b"a", b"abcd", b"abcde"])
def test_a_file_may_come_in_pieces(content, tmp_path, monkeypatch):
    """Whether or not the last one is as long as the others."""
    path = tmp_path / "whole"
    path.write_bytes(content)
    read = os.read
    pieces = SimpleNamespace(**{**vars(os), "read": lambda descriptor, size: read(descriptor, min(size, 2))})
    monkeypatch.setattr(regular, "os", pieces)
    assert read_regular(path, 100) == content
