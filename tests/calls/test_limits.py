"""What holds over all processes that call one function."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from model_servers import Fault, ModelServer

CALLER = textwrap.dedent(
    """
    import asyncio, json, sys, urllib.request
    from concurrent.futures import ThreadPoolExecutor
    from crystallize import remote

    url, first, count, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])

    @remote(key="k", seed=False, ignore=("url",), **options)
    def ask(url, question):
        body = {"model": "small", "messages": [{"role": "user", "content": question}]}
        request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(lambda number: ask(url, f"question {number}"), range(first, first + count)))
    print(len(found), flush=True)
    """
)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts processes which each make some calls, and have them begin together."""
    running = []

    def started(server, ranges, **options):
        new = []
        for first, count in ranges:
            arguments = [server.url, str(first), str(count), json.dumps(options)]
            process = subprocess.Popen(
                [sys.executable, "-c", CALLER, *arguments],
                cwd=tmp_path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            running.append(process)
            new.append(process)
        for process in new:
            assert process.stdout.readline() == "ready\n"
        started.began = time.monotonic()
        for process in new:
            process.stdin.write("\n")
            process.stdin.flush()
        return new

    yield started
    for process in running:
        process.kill()
        process.communicate()


def ended(processes):
    return [int(process.communicate()[0]) for process in processes]


@pytest.mark.parametrize("slots", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_slots_and_replies_are_those_of_all_processes(start, slots):
    """No more are under way than declared, equal ones are made once, and nobody waits for others to end."""
    with ModelServer(latency=0.02) as server:
        assert ended(start(server, [(0, 20), (10, 20)], concurrency=slots)) == [20, 20]
    assert (server.total, server.unique) == (30, 30)
    assert server.peak <= slots
    asked = [int(call.request["messages"][0]["content"].split()[1]) for call in server.calls[:25]]
    assert any(number < 10 for number in asked)
    assert any(number >= 20 for number in asked)


@pytest.mark.slow
def test_the_rate_is_that_of_all_processes(start):
    """Calls begin evenly."""
    with ModelServer() as server:
        assert ended(start(server, [(0, 10), (10, 10)], requests_per_minute=1200)) == [10, 10]
    assert max(call.began for call in server.calls) - start.began >= 19 * 0.05


@pytest.mark.slow
def test_a_refusal_has_all_processes_pause(start):
    """Calls under way may still be refused; then nobody calls until the time is over, and no call is lost."""
    with ModelServer(faults=[Fault(429, retry_after=0.3)] * 12, latency=0.01) as server:
        assert ended(start(server, [(0, 10), (10, 10)], concurrency=4, retries=1)) == [10, 10]
    assert server.unique == 20
    began = sorted(call.began for call in server.calls)
    assert sum(later - earlier > 0.2 for earlier, later in itertools.pairwise(began)) >= 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_process_leaves_its_slots_and_its_calls(start):
    """Others go on; only what was under way is asked again."""
    with ModelServer(faults=[Fault(hangs=True)] * 2) as server:
        (first,) = start(server, [(0, 2)], concurrency=2)
        while server.under_way < 2:
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert ended(start(server, [(0, 6)], concurrency=2)) == [6]
    assert len(server.answered) == 6
