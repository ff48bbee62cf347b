"""What it costs to prove the files that go with stored runs, with scikit-learn loaded, against its limits.

Times are of the processor, since others may use it as well.

Cold is the first time on a machine, when every file is read; warm is a later process, which finds the digests
that an earlier one has remembered, and looks at each file's status.

Run ``python benchmarks/prerequisites.py``; it exits with 1 if a figure misses its limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

LIMITS = {"cold": 1.0, "warm": 0.005}  # seconds

PROBE = """
import json, sys, time
import sklearn.ensemble, sklearn.linear_model, sklearn.model_selection, sklearn.pipeline, scipy.stats
from pathlib import Path
from crystallize.identity.loaded_files import LOADED
from crystallize.identity.prerequisites import Prerequisites
from crystallize.identity.purity import Watcher
from crystallize.storage.secret import Secret
from crystallize.storage.store import Store

store = Store(sys.argv[1], Secret(b"0" * 32, None))
made = Prerequisites(store, Path.cwd(), watcher=Watcher(), modules=None)
begun = time.process_time()
name = made.listed()
listed = time.process_time() - begun
again = Prerequisites(store, Path.cwd(), watcher=Watcher(), modules=None)
begun = time.process_time()
assert again.broken(name) is None
print(json.dumps([listed, time.process_time() - begun, len(LOADED.now())]))
"""


def main() -> int:
    """Measure and print."""
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        times = []
        for _ in range(4):
            command = [sys.executable, "-c", PROBE, directory]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times.append(json.loads(done.stdout))
    found = {"cold": times[0][0], "warm": min(proven for _, proven, _ in times[1:])}
    print(f"{times[0][2]} files; listed warm in {1e3 * min(row[0] for row in times[1:]):.1f} ms")
    for name, took in found.items():
        failed |= took > LIMITS[name]
        print(f"proven {name}: {1e3 * took:.1f} ms, {took / LIMITS[name]:.2f} of what is allowed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
