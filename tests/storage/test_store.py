"""Bytes on disk: what is stored is found, by several processes, too."""

import itertools
import multiprocessing
import os
import random
import stat
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from hashlib import blake2b

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from laws import examples
from stores import PARTS, SECRET, A, B, C, files, only_file, posix, set_used

from crystallize.storage import store as module
from crystallize.storage.sealed import Encoded
from crystallize.storage.store import Store


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
    """Two sessions may have computed the same one, neither of which had seen what the other stored."""
    other = Store(store.directory, SECRET)
    times = iter([3, 4, 5, 7, 6])
    monkeypatch.setattr(module.time, "time_ns", lambda: next(times))
    for each in (store, other):
        each.publish("slot", PARTS, {"1": A})
    for each, value in ((store, A), (other, B), (store, C)):
        each.publish("slot", PARTS, {"0": value})
    assert store.load("slot", PARTS) == {"0": B, "1": A}


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_clock_that_is_set_back_makes_no_record_the_earlier_one(store, sessions, monkeypatch):
    """What is stored anew, or withdrawn, counts, whatever time it was when the other was stored."""
    stores = [store, *(Store(store.directory, SECRET) for _ in range(sessions - 1))]
    times = iter([1 << 63, 5])
    monkeypatch.setattr(module.time, "time_ns", lambda: next(times))
    stores[0].publish("slot", PARTS, {"0": A})
    (path,) = files(store)
    path.with_name(f"{path.name[:66]}zz.pack").touch()  # none of ours
    stores[-1].publish("slot", PARTS, {"0": B})
    assert Store(store.directory, SECRET).load("slot", PARTS) == {"0": B}


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


@examples(30, suppress=[HealthCheck.function_scoped_fixture])
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
        set_used(path, time.time() - 10)  # however short a time ago
    store.load("slot", old)
    assert store.explain("slot") == old


def test_further_parts_are_told_and_not_looked_for(store):
    """Records are found whatever these are; of packs that have some, the latest tells."""
    for value, further in (A, {"t": {"dose": "1"}}), (B, {"t": {"dose": "2"}, "u": {"dose": "3"}}), (C, {}):
        store.publish("slot", PARTS, {"0": value}, further)
    assert store.explain("slot") == PARTS
    assert store.explain("slot", "t") == {**PARTS, "dose": "2"}
    assert store.explain("slot", "u") == {**PARTS, "dose": "3"}
    assert store.explain("slot", "v") is None
    assert store.load("slot", PARTS) == {"0": C}


def test_of_packs_that_are_loaded_together_the_latest_tells(store, monkeypatch):
    """In whatever order a directory lists them; but for one without a wanted record."""
    ticks = itertools.count(2000)
    monkeypatch.setattr(module, "_touch", lambda path: set_used(path, next(ticks)))
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(listed(path), reverse=True))
    store.publish("slot", PARTS, {"0": A, "t1": A}, {"t": {"dose": "1"}})
    store.publish("slot", PARTS, {"t2": B}, {"t": {"dose": "2"}})
    list(store.packs("slot", PARTS, lambda: {"0", "t2"}))
    assert store.explain("slot", "t") == {**PARTS, "dose": "2"}
    list(store.packs("slot", PARTS, lambda: {"0", "t1"}))
    assert store.explain("slot", "t") == {**PARTS, "dose": "1"}


def test_records_that_are_not_wanted_are_passed_over(store):
    """A pack without a wanted one was not used, and is ours all the same; damage elsewhere is no matter."""
    store.publish("slot", PARTS, {"0": A})
    (unused,) = files(store)
    set_used(unused, 1000)
    store.publish("slot", PARTS, {"1": B, "2": A})
    (used,) = set(files(store)) - {unused}
    used.write_bytes(used.read_bytes()[: -len(A.data)] + b"2")
    set_used(used, 1000)
    found = [records for _, records in store.packs("slot", PARTS, lambda: {"1"})]
    assert found == [[("1", B)]]
    assert (store.fault, store.rejected) == (None, 0)
    assert unused.stat().st_mtime == 1000 < used.stat().st_mtime
    assert dict(pair for _, records in store.packs("slot", PARTS) for pair in records) == {"0": A, "1": B}
    assert store.rejected == 1


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
