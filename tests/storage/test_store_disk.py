"""Bytes on disk: what the disk refuses is a miss, and what was not used for long goes."""

import errno
import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from stores import OTHER, PARTS, SECRET, A, B, C, files, only_file, posix, set_used

from crystallize.storage import store as module
from crystallize.storage.codec import encode
from crystallize.storage.regular import read_regular
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store

# What the disk refuses is a miss


def test_a_directory_that_can_not_be_made_is_a_fault(tmp_path):
    """Nothing raises; the first reason is kept."""
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "cache", SECRET)
    assert store.put("a", A) is False
    assert store.publish("slot", PARTS, {"0": A}) is False
    assert store.get("a") is None
    assert store.load("slot", PARTS) == {}
    assert store.explain("slot") is None
    store.tidy()
    reason = os.strerror(errno.ENOTDIR)
    assert store.fault == f"the cache in {tmp_path / 'file' / 'cache'} can't be written: {reason}"


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory_is_still_read(store):
    """Its hits are hits; what is new is not stored."""
    store.put("a", A)
    store.publish("slot", PARTS, {"0": A})
    directories = [store.directory, *store.directory.iterdir()]
    try:
        for directory in directories:
            directory.chmod(0o500)
        assert store.get("a") == A
        assert store.load("slot", PARTS) == {"0": A}
        assert store.fault is None
        assert store.put("b", B) is False
        assert "can't be written" in store.fault
        store.tidy()
    finally:
        for directory in directories:
            directory.chmod(0o700)


def test_what_can_not_be_touched_is_still_read(store, monkeypatch):
    """A file system that is mounted read-only."""
    store.put("a", A)
    store.publish("slot", PARTS, {"0": A})

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert store.get("a") == A
    assert store.load("slot", PARTS) == {"0": A}
    assert store.fault is None


def store_on_a_small_disk(directory, stored):
    """Store what fits and what does not, in a process that may write no large files."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit is an error then
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    store = Store(directory, SECRET)
    large = Encoded("json", b"x" * 100_000)
    if stored == "put":
        done = store.put("large", large), store.put("small", A)
    else:
        done = store.publish("slot", PARTS, {"0": large}), store.publish("slot", PARTS, {"1": A})
    return done, store.fault


@pytest.mark.skipif(sys.platform == "win32", reason="it limits no files")
@pytest.mark.parametrize("stored", ["put", "publish"])
def test_a_full_disk_leaves_no_stray_file(store, stored):
    """A write that ends in the middle takes back what it wrote, and the next one that fits is stored."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        done, fault = pool.submit(store_on_a_small_disk, store.directory, stored).result()
    assert done == (False, True)
    assert fault.endswith(os.strerror(errno.EFBIG))
    only_file(store)


@pytest.mark.parametrize("name", ["write", "replace"])
def test_no_space_at_any_time_leaves_no_stray_file(store, monkeypatch, name):
    """Be it while the bytes are written, or at the end."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if name == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        real = os.fdopen

        def opened(descriptor, mode):
            file = real(descriptor, mode)

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def writelines(self, chunks):
                    file.write(chunks[0])
                    full()

            return Full()

        monkeypatch.setattr(os, "fdopen", opened)
    assert store.put("a", A) is False
    assert store.publish("slot", PARTS, {"0": A}) is False
    assert files(store) == []
    assert store.fault == f"the cache in {store.directory} can't be written: {os.strerror(errno.ENOSPC)}"


def test_an_interrupted_write_leaves_no_stray_file(store, monkeypatch):
    """The interrupt itself goes on."""

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.put("a", A)
    assert files(store) == []


def test_a_removed_directory_is_made_again(store):
    """Another session may clear the cache at any time."""
    store.put("a", A)
    shutil.rmtree(store.directory)
    assert store.get("a") is None
    assert store.load("slot", PARTS) == {}
    assert store.explain("slot") is None
    store.tidy()
    assert store.put("a", A)
    assert store.get("a") == A
    assert store.fault is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_directory_removed_during_a_write_is_made_again_once(store, monkeypatch, times):
    """Twice in a row is a fault, and no endless loop."""
    store.put("z", A)
    left = iter(range(times))
    real = os.replace

    def replace(path, target):
        if next(left, None) is not None:
            shutil.rmtree(store.directory)
        return real(path, target)

    monkeypatch.setattr(os, "replace", replace)
    assert store.put("a", A) is (times == 1)
    assert (store.get("a") == A) is (times == 1)
    assert (store.fault is None) is (times == 1)


def test_a_value_larger_than_the_cache_is_not_stored(tmp_path):
    """It would drive out everything, and then itself."""
    store = Store(tmp_path, SECRET, capacity=1000)
    assert store.put("a", Encoded("json", b"x" * 1000)) is False
    assert store.fault == "1,066 bytes are more than the cache holds, 1,000"
    assert files(store) == []


# Tidying


def sized(store, key, used):
    """Store about 1,000 bytes."""
    before = set(files(store))
    store.put(key, Encoded("json", b"x" * 1000))
    (path,) = set(files(store)) - before
    set_used(path, used)


def test_the_longest_unused_go_first(tmp_path):
    """Down to the capacity, and no further."""
    store = Store(tmp_path, SECRET, capacity=3300)
    for used, key in enumerate("dacbe", start=1000):
        sized(store, key, used)
    store.tidy()
    assert [key for key in "abcde" if store.get(key)] == ["b", "c", "e"]
    store.tidy()
    assert len(files(store)) == 3


def test_a_hit_counts_as_use(tmp_path):
    """What is read stays."""
    store = Store(tmp_path, SECRET, capacity=2500)
    for used, key in enumerate("abc", start=1000):
        sized(store, key, used)
    store.get("a")
    store.tidy()
    assert [key for key in "abc" if store.get(key)] == ["a", "c"]


def test_loading_counts_as_use(tmp_path):
    """For packs as for values."""
    store = Store(tmp_path, SECRET, capacity=2500)
    for used, slot in enumerate("abc", start=1000):
        before = set(files(store))
        store.publish(slot, {}, {"0": Encoded("json", b"x" * 900)})
        (path,) = set(files(store)) - before
        set_used(path, used)
    store.load("a", {})
    store.tidy()
    assert [slot for slot in "abc" if store.load(slot, {})] == ["a", "c"]


def test_stale_temporary_files_go_after_an_hour(store, monkeypatch):
    """Younger ones may still be written."""
    store.put("a", A)
    shard = only_file(store).parent
    stale, fresh = shard / f".{'1' * 16}.tmp", shard / f".{'2' * 16}.tmp"
    now = module.time.time()
    for path, age in ((stale, 3700), (fresh, 3500)):
        path.touch()
        set_used(path, now - age)
    store.tidy()
    assert not stale.exists()
    assert fresh.exists()


def test_what_is_not_ours_is_left_alone(tmp_path):
    """Somebody may have named a directory with other things in it."""
    store = Store(tmp_path, SECRET, capacity=10_000)
    store.put("a", A)
    shard = only_file(store).parent
    others = [tmp_path / "notes.txt", shard / "notes.txt", tmp_path / "src" / f"{'0' * 32}.value"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 20_000)
        set_used(path, 0)
    store.tidy()
    assert all(path.exists() for path in others)
    assert store.get("a") == A


def test_many_small_packs_become_one(store):
    """With every record, the parts, and the time of the last use."""
    records = {f"{i}": encode(i) for i in range(20)}
    for i, (key, value) in enumerate(records.items()):
        before = set(files(store))
        store.publish("slot", PARTS, {key: value, "": encode(i)})
        (path,) = set(files(store)) - before
        set_used(path, 1000 + i)
    store.publish("slot", {}, {"0": C})
    store.tidy()
    assert len(files(store)) == 2
    (merged,) = (path for path in files(store) if path.stat().st_mtime < 2000)
    assert merged.stat().st_mtime == 1019
    assert store.load("slot", PARTS) == {**records, "": encode(19)}
    assert store.explain("slot") == PARTS
    assert store.load("slot", {}) == {"0": C}
    assert (store.fault, store.rejected) == (None, 0)


def test_few_packs_stay_as_they_are(store):
    """Writing them again costs more than it saves."""
    for i in range(7):
        store.publish("slot", PARTS, {f"{i}": A})
    before = files(store)
    store.tidy()
    assert files(store) == before


def test_large_packs_stay_as_they_are(store):
    """They are not written again in every session."""
    for i in range(8):
        store.publish("slot", PARTS, {f"{i}": Encoded("json", bytes(1 << 20))})
    before = files(store)
    store.tidy()
    assert files(store) == before


def test_packs_that_are_not_wholly_ours_are_not_merged(store):
    """They may be somebody else's: they go when they are the oldest."""
    theirs = Store(store.directory, OTHER)
    for i in range(8):
        store.publish("slot", PARTS, {f"{i}": A})
    for i in range(7):
        theirs.publish("slot", PARTS, {f"{i}": B})
    store.tidy()
    assert len(files(store)) == 8
    assert len(store.load("slot", PARTS)) == 8
    assert len(theirs.load("slot", PARTS)) == 7


@pytest.mark.parametrize("case", ["large", "partly ours", "held by others"])
def test_a_value_stays_the_latest_when_earlier_and_later_packs_are_merged(store, case, monkeypatch):
    """A pack that is not merged stands between those before it and those behind it."""
    for i in range(9):
        store.publish("slot", PARTS, {"a" if i == 0 else f"{i}": A})
    before = set(files(store))
    store.publish("slot", PARTS, {"a": B, "b": Encoded("json", bytes(1 << 20 if case == "large" else 9))})
    (path,) = set(files(store)) - before
    if case == "partly ours":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    for i in range(9):
        store.publish("slot", PARTS, {f"b{i}": A})
    with monkeypatch.context() as patch:
        if case == "held by others":
            patch.setattr(module, "read_regular", partial(read_unless, path))
        store.tidy()
    assert len(files(store)) == 3
    assert store.load("slot", PARTS)["a"] == B
    assert len(store.load("slot", PARTS)) == (18 if case == "partly ours" else 19)


def read_unless(held, path, most):
    """Read a file, unless it is that one."""
    if path == os.fspath(held):
        raise PermissionError(errno.EACCES, "held by another program")
    return read_regular(path, most)


def test_packs_that_are_damaged_are_as_many_as_they_like(store):
    """The end of a session is no deeper for each of them."""
    store.publish("slot", PARTS, {"a": A, "b": B})
    (path,) = files(store)
    torn = path.read_bytes()[:-1] + b"x"
    prefix = path.name.rpartition("-")[0]
    for i in range(sys.getrecursionlimit()):
        path.with_name(f"{prefix}-{i:032x}.pack").write_bytes(torn)
    store.tidy()
    assert len(files(store)) == sys.getrecursionlimit() + 1


def test_packs_stay_if_the_merged_one_can_not_be_written(store, monkeypatch):
    """Nothing is removed before its place is taken."""
    for i in range(8):
        store.publish("slot", PARTS, {f"{i}": A})
    before = files(store)

    def full(*args):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        store.tidy()
    assert files(store) == before
    assert len(store.load("slot", PARTS)) == 8


def test_merging_takes_nothing_from_a_reader(store, monkeypatch):
    """A pack that goes between being listed and being read is looked for once more."""
    for i in range(8):
        store.publish("slot", PARTS, {f"{i}": A})
    reader = Store(store.directory, SECRET)
    real, left = os.listdir, iter([True])

    def listed(path):
        names = real(path)
        if next(left, False):
            store.tidy()
        return names

    monkeypatch.setattr(os, "listdir", listed)
    assert len(reader.load("slot", PARTS)) == 8
    assert len(files(store)) == 1


def test_merging_twice_at_once_loses_nothing(store, monkeypatch):
    """Each removes only what it has written again."""
    for i in range(8):
        store.publish("slot", PARTS, {f"{i}": A})
    real, left = os.replace, iter([True])

    def replace(path, target):
        if next(left, False):
            Store(store.directory, SECRET).tidy()
            store.publish("slot", PARTS, {"8": B})
        return real(path, target)

    monkeypatch.setattr(os, "replace", replace)
    store.tidy()
    assert len(store.load("slot", PARTS)) == 9
    assert store.fault is None
