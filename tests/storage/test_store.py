"""Bytes on disk: what is damaged, moved or forged is a miss, and so is what the disk refuses."""

import errno
import multiprocessing
import os
import pickle
import random
import shutil
import stat
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crystallize.storage import store as module
from crystallize.storage.codec import decode, encode
from crystallize.storage.secret import Secret
from crystallize.storage.store import Encoded, Store

SECRET = Secret(b"s" * 32)
OTHER = Secret(b"o" * 32)
PARTS = {"step clean": "1f", "python": "3.11.7"}
A, B, C = Encoded("json", b"1"), Encoded("pickle", b"\0\xff"), Encoded("npy", b"")

posix = pytest.mark.skipif(sys.platform == "win32", reason="files have no such permissions there")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache", SECRET)


def files(store):
    return sorted(path for path in store.directory.rglob("*") if path.is_file())


def only_file(store):
    (path,) = files(store)
    return path


def set_used(path, seconds):
    os.utime(path, (seconds, seconds))


# What is stored is found


def test_a_value_is_found_under_its_key(store):
    """Kind and bytes are what they were; in the same process and in others."""
    assert store.get("a") is None
    assert store.put("a", B)
    assert store.get("a") == B
    assert Store(store.directory, SECRET).get("a") == B
    assert store.get("b") is None
    assert (store.fault, store.rejected) == (None, 0)


def test_a_value_takes_the_place_of_an_earlier_one(store):
    """There is one file for each key."""
    store.put("a", A)
    store.put("a", B)
    assert store.get("a") == B
    only_file(store)


def test_records_are_found_under_slot_and_parts(store):
    """Those of other parts are another's, and those of other slots too."""
    store.publish("baseline", PARTS, {"0": A, "1": B})
    store.publish("baseline", PARTS, {"2": C})
    store.publish("baseline", {**PARTS, "python": "3.12.0"}, {"0": C})
    store.publish("dropout", PARTS, {"0": B})
    assert store.load("baseline", PARTS) == {"0": A, "1": B, "2": C}
    assert store.load("baseline", dict(reversed(PARTS.items()))) == {"0": A, "1": B, "2": C}
    assert store.load("baseline", {}) == {}
    assert store.load("dropout", PARTS) == {"0": B}
    assert store.load("other", PARTS) == {}
    assert (store.fault, store.rejected) == (None, 0)


def test_the_later_of_two_records_wins(store, monkeypatch):
    """Two sessions may have computed the same one."""
    times = iter([5, 7, 6])
    monkeypatch.setattr(module.time, "time_ns", lambda: next(times))
    for value in (A, B, C):
        store.publish("slot", PARTS, {"0": value})
    assert store.load("slot", PARTS) == {"0": B}


def test_publishing_nothing_writes_nothing(store):
    """An empty block is no pack."""
    assert store.publish("slot", PARTS, {})
    assert not store.directory.exists()


def test_a_value_is_no_record_and_a_record_no_value(store):
    """Their keys are apart."""
    store.put("a", A)
    store.publish("slot", {}, {"b": B})
    assert store.get("b") is None
    assert store.load("slot", {}) == {"b": B}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.text(st.characters(exclude_categories=())),
    st.dictionaries(st.text(), st.text()),
    st.dictionaries(st.text(st.characters(exclude_categories=())), st.binary(), min_size=1),
)
def test_any_text_is_a_key(tmp_path, slot, parts, records):
    """Empty, with separators, with surrogates; bytes are any bytes."""
    store = Store(tmp_path / blake2b(repr((slot, parts)).encode()).hexdigest(), SECRET)
    encoded = {key: Encoded("json", data) for key, data in records.items()}
    assert store.publish(slot, parts, encoded)
    assert encoded.items() <= store.load(slot, parts).items()
    assert store.explain(slot) == parts
    for key, value in encoded.items():
        assert store.put(key, value)
        assert store.get(key) == value
    assert (store.fault, store.rejected) == (None, 0)


def test_a_slot_explains_what_it_was_last_used_with(store):
    """Parts that were loaded later than others were published are the last; without any there is None."""
    assert store.explain("slot") is None
    old, new = {"f": "1"}, {"f": "2"}
    store.publish("slot", old, {"0": A})
    set_used(only_file(store), 1000)
    store.publish("slot", new, {"0": A})
    store.publish("other", {}, {"0": A})
    assert store.explain("slot") == new
    for path in files(store):
        set_used(path, 1000)
    store.load("slot", old)
    assert store.explain("slot") == old


def test_the_working_directory_does_not_matter(tmp_path, monkeypatch):
    """A step may change it."""
    monkeypatch.chdir(tmp_path)
    store = Store("cache", SECRET)
    store.put("a", A)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.get("a") == A


@posix
def test_files_are_their_users_alone(store):
    """They hold what experiments found, whatever the umask."""
    before = os.umask(0)
    try:
        store.put("a", A)
        store.publish("slot", PARTS, {"a": A})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(store)} == {0o600}
    directories = [store.directory, *(path.parent for path in files(store))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}


# What is not ours is a miss


class Intruder:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def unpickled(store, key):
    """Read a value as a user of the store does."""
    found = store.get(key)
    return None if found is None else decode(found)


def damaged(data, bits):
    """Yield a file's bytes with each of some bits of each byte flipped."""
    for offset in range(len(data)):
        for bit in bits:
            yield data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]


def assert_each_is_a_miss(store, path, contents):
    for content in contents:
        path.write_bytes(content)
        assert store.get("key") is None
        assert store.rejected > 0
        store.rejected = 0
    assert store.fault is None


def test_a_flipped_bit_is_a_miss(store):
    """Every bit of every byte counts: of the header, the code, the kind, the key and the body."""
    store.put("key", Encoded("pickle", pickle.dumps(["value"])))
    path = only_file(store)
    data = path.read_bytes()
    assert_each_is_a_miss(store, path, damaged(data, range(8)))
    path.write_bytes(data)
    assert unpickled(store, "key") == ["value"]


def test_a_cut_or_longer_file_is_a_miss(store):
    """At every length but its own."""
    store.put("key", A)
    path = only_file(store)
    data = path.read_bytes()
    assert_each_is_a_miss(store, path, (data[:length] for length in range(len(data))))
    assert_each_is_a_miss(store, path, (data + b"\0", data + data, data + data[14:]))


@pytest.mark.slow
def test_a_flipped_bit_of_a_large_value_is_a_miss(store):
    """One bit of every byte of 9 kB, and every length."""
    store.put("key", encode(list(range(2000))))
    path = only_file(store)
    data = path.read_bytes()
    assert_each_is_a_miss(store, path, damaged(data, [3]))
    assert_each_is_a_miss(store, path, (data[:length] for length in range(len(data))))


def assert_loads_only_what_is_right(store, path, contents, records):
    """Check that what is found is right, that something is missing, and that nothing raises."""
    for content in contents:
        path.write_bytes(content)
        found = store.load("slot", PARTS)
        assert found.items() <= records.items()
        assert store.rejected > 0 or found != records
        assert store.explain("slot") in (None, PARTS)
        store.rejected = 0
    assert store.fault is None


@pytest.mark.slow
def test_a_flipped_bit_of_a_pack_loses_no_more_than_its_record(store):
    """Whatever bit of whatever byte; only lengths and the header take others with them."""
    records = {"0": A, "1": B, "2": C}
    store.publish("slot", PARTS, records)
    path = only_file(store)
    data = path.read_bytes()
    assert_loads_only_what_is_right(store, path, damaged(data, range(8)), records)
    at = data.index(B.data)
    path.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    assert store.load("slot", PARTS) == {"0": A, "2": C}


def test_a_cut_pack_loses_what_is_behind_the_cut(store):
    """What lies before it is as good as it was."""
    records = {"0": A, "1": B, "2": C}
    store.publish("slot", PARTS, records)
    path = only_file(store)
    data = path.read_bytes()
    cuts = (data[:length] for length in range(len(data)))
    assert_loads_only_what_is_right(store, path, cuts, records)
    assert store.load("slot", PARTS) == {"0": A, "1": B}


@pytest.mark.slow
def test_a_flipped_bit_of_a_large_pack_gives_nothing_wrong(store):
    """One bit of every byte of 40 records."""
    records = {f"{i}": encode({"metric": [i / 7, str(i)]}) for i in range(40)}
    store.publish("slot", PARTS, records)
    path = only_file(store)
    assert_loads_only_what_is_right(store, path, damaged(path.read_bytes(), [5]), records)


def test_a_value_under_another_key_is_a_miss(store):
    """A file that was moved or copied is not what it says."""
    store.put("a", A)
    (a,) = files(store)
    store.put("b", B)
    (b,) = set(files(store)) - {a}
    shutil.copyfile(a, b)
    assert store.get("b") is None
    assert store.get("a") == A
    assert store.rejected == 1


def test_a_pack_under_another_name_is_a_miss(store):
    """Neither another slot nor other parts take its records."""
    store.publish("slot", {"f": "old"}, {"0": A})
    stale = only_file(store)
    for slot, parts in (("slot", {"f": "new"}), ("other", {"f": "old"})):
        store.publish(slot, parts, {"1": B})
        (path,) = (p for p in files(store) if p.name[:65] != stale.name[:65])
        shutil.copyfile(stale, path)
        assert store.load(slot, parts) == {}
        path.unlink()
    assert store.load("slot", {"f": "old"}) == {"0": A}


def test_records_that_were_exchanged_are_misses(store, tmp_path):
    """A body with the code of another one, both of them ours."""
    store.put("a", Encoded("json", b"0.04"))
    (a,) = files(store)
    store.put("b", Encoded("json", b"0.96"))
    (b,) = set(files(store)) - {a}
    a.write_bytes(a.read_bytes()[:-4] + b.read_bytes()[-4:])
    assert store.get("a") is None


def test_a_forged_pickle_is_not_run(store, tmp_path):
    """Without the secret nobody makes the code that comes before unpickling."""
    sign = tmp_path / "intruded"
    forged = encode(Intruder(sign))
    decode(forged)
    assert sign.exists(), "the forgery would work"
    sign.unlink()

    store.put("key", Encoded("pickle", bytes(len(forged.data))))
    path = only_file(store)
    data = path.read_bytes()
    path.write_bytes(data[: -len(forged.data)] + forged.data)
    assert unpickled(store, "key") is None
    Store(store.directory, OTHER).put("key", forged)
    assert unpickled(store, "key") is None
    assert not sign.exists()
    assert store.rejected == 2


def test_a_cache_of_another_secret_is_all_misses(store, tmp_path):
    """Forged metrics would turn a gate green, so JSON counts like pickles."""
    theirs = Store(store.directory, OTHER)
    theirs.put("a", A)
    theirs.publish("slot", PARTS, {"0": A})
    assert store.get("a") is None
    assert store.load("slot", PARTS) == {}
    assert store.explain("slot") is None
    assert (store.fault, store.rejected) == (None, 2)
    store.publish("slot", PARTS, {"1": B})
    assert store.load("slot", PARTS) == {"1": B}
    assert theirs.load("slot", PARTS) == {"0": A}


def test_without_a_secret_nothing_is_read_or_written(store, tmp_path):
    """The reason is that of the secret."""
    store.put("a", A)
    store.publish("slot", PARTS, {"0": A})
    before = files(store)
    none = Store(store.directory, Secret(None, "no home"))
    assert none.get("a") is None
    assert none.load("slot", PARTS) == {}
    assert none.explain("slot") is None
    assert none.put("b", B) is False
    assert none.publish("slot", PARTS, {"1": B}) is False
    none.tidy()
    assert files(store) == before
    assert none.fault == "no home"


def test_a_file_larger_than_the_cache_is_not_read(store):
    """A hole of a terabyte would not fit into memory."""
    store.put("a", A)
    with only_file(store).open("r+b") as file:
        file.truncate(2**40)
    assert store.get("a") is None


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


# Several processes


def body(name):
    """Return what belongs under a name, and nowhere else."""
    return Encoded("json", blake2b(name.encode()).digest() * (1 + sum(name.encode()) % 40))


def work(directory, number, operations):
    """Write, read and tidy; return what was wrong."""
    draw = random.Random(number)
    store = Store(directory, SECRET, capacity=60_000)
    wrong = []
    for _ in range(operations):
        key, slot = f"key {draw.randrange(30)}", f"slot {draw.randrange(3)}"
        action = draw.random()
        if action < 0.3:
            store.put(key, body(key))
        elif action < 0.5:
            found = store.get(key)
            if found not in (None, body(key)):
                wrong.append(key)
        elif action < 0.75:
            replicates = [f"{slot} {draw.randrange(100)}" for _ in range(3)]
            store.publish(slot, {"of": slot}, {name: body(name) for name in replicates})
        elif action < 0.95:
            found = store.load(slot, {"of": slot})
            wrong += [name for name in found if found[name] != body(name) or not name.startswith(slot)]
            if store.explain(slot) not in (None, {"of": slot}):
                wrong.append(slot)
        else:
            store.tidy()
    return wrong, store.fault, store.rejected


def assert_processes_agree(directory, processes, operations):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        done = [pool.submit(work, directory, number, operations) for number in range(processes)]
        assert [future.result() for future in done] == [([], None, 0)] * processes
    store = Store(directory, SECRET, capacity=60_000)
    store.tidy()
    found = [path for path in directory.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= {".value", ".pack"}
    assert 0 < sum(path.stat().st_size for path in found) <= 60_000


def test_processes_share_a_cache(tmp_path):
    """Two write, read, merge and evict: nothing wrong is read, nothing strays, nothing fails."""
    assert_processes_agree(tmp_path / "cache", 2, 150)


@pytest.mark.slow
def test_many_processes_share_a_cache(tmp_path):
    """The same with eight, for longer."""
    assert_processes_agree(tmp_path / "cache", 8, 1000)


def test_threads_share_a_store(tmp_path):
    """One object serves them all."""
    store = Store(tmp_path, SECRET)

    def use(number):
        store.put(f"{number}", body(f"{number}"))
        store.publish("slot", PARTS, {f"{number}": A})
        return store.get(f"{number}") == body(f"{number}")

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(40)))
    assert len(store.load("slot", PARTS)) == 40
