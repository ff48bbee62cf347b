"""Bytes on disk: what is damaged, moved or forged is a miss."""

import pickle
import shutil
from pathlib import Path

import pytest
from stores import OTHER, PARTS, A, B, C, files, only_file

from crystallize.storage.codec import decode, encode
from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store


class Intruder:
    """Object that makes a file where it is unpickled."""

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
