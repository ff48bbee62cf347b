"""What the store costs: records of condition runs by the thousand, and arrays of 10 MB.

Records go into blocks as a session publishes them, and are loaded as a warm session finds them: from several
packs, and from the one that they are merged into. The disk's cache is warm; every figure is the fastest
repetition's.

Run ``python benchmarks/cache_store.py``; it exits with 1 if loading 1,000 records takes too long.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from crystallize.identity.purity import Watcher
from crystallize.storage.codec import decode, encode
from crystallize.storage.sealed import Encoded
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store

LIMIT = 0.2  # seconds
RECORDS = 1000
BLOCK = 50
REPETITIONS = 15

SECRET = Secret(b"benchmark".ljust(32))
PARTS = {f"module.function_{i}": f"{i:032x}" for i in range(75)}


def fastest(work: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    """Return the seconds that the fastest of several repetitions took."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def records() -> dict[str, Encoded]:
    """Return records of the size that a condition run with a few metrics and steps has."""
    rng = np.random.default_rng(0)
    return {
        f"{i:064x}": encode([[["accuracy", float(x), "evaluate"] for x in rng.normal(size=8)], ["step"] * 60])
        for i in range(RECORDS)
    }


def main() -> int:
    """Measure, print, and return the exit code."""
    content = records()
    items = list(content.items())
    size = sum(len(value.data) for value in content.values()) // RECORDS
    blocks = [dict(items[start : start + BLOCK]) for start in range(0, RECORDS, BLOCK)]

    def publish() -> None:
        with tempfile.TemporaryDirectory() as directory:
            store = Store(directory, SECRET)
            start = time.perf_counter()
            for block in blocks:
                store.publish("slot", PARTS, block)
            published.append(time.perf_counter() - start)

    published: list[float] = []
    fastest(publish)
    with tempfile.TemporaryDirectory() as directory:
        store = Store(directory, SECRET)
        for block in blocks:
            store.publish("slot", PARTS, block)
        assert store.load("slot", PARTS) == content
        apart = fastest(lambda: store.load("slot", PARTS))
        start = time.perf_counter()
        store.tidy()
        merging = time.perf_counter() - start
        assert store.load("slot", PARTS) == content
        together = fastest(lambda: store.load("slot", PARTS))
    micro = 1e6 / RECORDS
    print(f"{RECORDS:,} records of {size:,} bytes, in blocks of {BLOCK}")
    print(f"  publish   {min(published) * micro:8.1f} µs a record")
    print(
        f"  load      {apart * micro:8.1f} µs a record, {apart * 1e3:.1f} ms for all from {len(blocks)} packs"
    )
    print(f"            {together * micro:8.1f} µs a record, {together * 1e3:.1f} ms for all from one")
    print(f"  merge     {merging * 1e3:8.1f} ms, once")

    array = np.random.default_rng(0).normal(size=1_250_000)
    megabytes = array.nbytes / 1e6
    with tempfile.TemporaryDirectory() as directory:
        store = Store(directory, SECRET)
        encoded = encode(array)
        print(f"arrays of {megabytes:.0f} MB")
        for name, work in {
            "encode": lambda: encode(array),
            "put": lambda: store.put("array", encoded),
            "get": lambda: store.get("array"),
            "decode": lambda: decode(encoded),
        }.items():
            print(f"  {name:9} {megabytes / fastest(work):8.0f} MB/s")
        small = encode([0.5])
        keys = [f"{i:064x}" for i in range(RECORDS)]
        put = fastest(lambda: [store.put(key, small) for key in keys], 3)
        get = fastest(lambda: [store.get(key) for key in keys], 3)
        print(f"{RECORDS:,} small values, a file each\n  put       {put * micro:8.1f} µs")
        print(f"  get       {get * micro:8.1f} µs")
        start = time.perf_counter()
        store.tidy()
        print(f"  tidy      {(time.perf_counter() - start) * 1e3:8.1f} ms for all")

    def loop() -> int:
        return sum(i * i % 7 for i in range(100_000))

    watcher = Watcher()
    before = fastest(loop)
    with watcher.watch():
        during = fastest(loop)
    print(f"a pure loop, not watched {before * 1e3:.2f} ms, watched {during * 1e3:.2f} ms")
    return int(apart > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
