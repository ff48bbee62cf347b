"""Files appear whole or not at all."""

import errno
import os
import sys

import pytest

from crystallize.storage.atomic import remove_output, write_first, write_output, write_whole


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def full(*args, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stopped(*args, **options):
    raise KeyboardInterrupt


def breaking_off(fail):
    yield b"half"
    fail()


@pytest.mark.parametrize("fail", [full, stopped])
@pytest.mark.parametrize("when", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(path, monkeypatch, fail, when):
    """At whatever time, and for whatever reason; nothing else is left."""
    data = b"new"
    if when == "write":
        data = breaking_off(fail)
    else:
        monkeypatch.setattr(os, when, fail)
    with pytest.raises(OSError if fail is full else KeyboardInterrupt):
        write_whole(path, data, durable=True)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_takes_the_place_of_another(path):
    """In pieces or at once."""
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    place = path.parent / "unfinished"
    place.mkdir()
    write_whole(path, [b"in ", memoryview(b"pieces")], place=place)
    assert path.read_bytes() == b"in pieces"
    assert [*place.iterdir()] == []


def test_the_first_of_several_stays(path):
    """And those that come later fail in silence."""
    write_first(path, b"new")
    assert path.read_bytes() == b"old"
    path.unlink()
    write_first(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="its files have no such bits")
@pytest.mark.parametrize(("mode", "withheld", "given"), [(0o666, 0o027, 0o640), (0o600, 0, 0o600)])
def test_permissions_are_those_of_any_new_file(path, mode, withheld, given):
    """What is asked for, less what the process withholds."""
    before = os.umask(withheld)
    try:
        write_whole(path, b"new", mode=mode)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == given


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_written_to(tmp_path):
    """A device stays one, which root could replace, and a pipe has its reader."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        remove_output(pipe)
        write_output(pipe, b"new")
        assert os.read(reader, 9) == b"new"
        assert pipe.is_fifo()
    finally:
        os.close(reader)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_stays_one(path):
    """The file that it leads to is replaced, or made."""
    link = path.parent / "link"
    link.symlink_to("file")
    write_output(link, b"new")
    assert (link.is_symlink(), path.read_bytes()) == (True, b"new")
    remove_output(link)
    assert (link.is_symlink(), path.exists()) == (True, False)
    write_output(link, b"newer")
    assert path.read_bytes() == b"newer"
