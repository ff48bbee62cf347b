"""Which run is under way, told to those who ask."""

import subprocess
import sys

LATE = """
from crystallize import Experiment, pipeline_step

@pipeline_step()
def step(data, ctx):
    from crystallize import remote
    @remote(key="k")
    def ask():
        return 1
    return data, {"m": ask()}

def run():
    return Experiment(0, [step()], replicates=2).run()

print({str(error) for error in run().errors})
import crystallize.calls.declared
print(run().metrics.baseline.metrics)
"""


def test_who_asks_too_late_is_told(tmp_path):
    """Runs that began before did not say what they are, and are not guessed at."""
    done = subprocess.run(
        [sys.executable, "-c", LATE], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    late, metrics = done.stdout.splitlines()
    assert "remote functions are declared first while a run is under way" in late
    assert metrics == "{'m': [1, 1]}"
