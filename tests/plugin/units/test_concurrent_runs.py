"""Asynchronous marked functions, whose runs are under way at the same time."""

import re
import textwrap
from string import Template

import pytest

OFF = "--crystallize-cache=off"

WAITING = """
import asyncio, contextvars, json

running = 0

def note(*entry):
    with open("log", "a") as log:
        print(json.dumps(entry), file=log)

async def wait():
    global running
    running += 1
    note("running", running)
    for _ in range(4):
        await asyncio.sleep(0)
    running -= 1

CLAIM = [Hypothesis(metric="total", direction="increase")]
MARK = dict(replicates=12, treatments={"boost": {"delta": 5.0}}, hypotheses=CLAIM)
"""


def write(project, source, **parts):
    project.write(WAITING + Template(textwrap.dedent(source)).substitute(parts))


def digests(result):
    return [line for line in result.outlines if line.startswith("  digest")]


def most_running(project):
    return max(entry[1] for entry in project.log() if entry[0] == "running")


DRAWING = """
@pytest.fixture
async def drawn():
    first = random.random()
    await asyncio.sleep(0)
    yield first + np.random.normal()
    await asyncio.sleep(0)

@pytest.fixture
def drawn_at_once():
    return random.random() + np.random.normal()

async def part():
    await asyncio.sleep(0)
    return random.random()

@pytest.mark.experiment($mark, max_concurrency=$most, cache_key="1")
async def experiment_total(rng, drawn, delta=0.0):
    await wait()
    parts = await asyncio.gather(part(), part())
    await asyncio.sleep(0)
    return {"total": rng.normal() + delta, "drawn": drawn, "last": parts[1], "gauss": random.gauss(0, 1)}
"""

PLAIN = """
@pytest.fixture
def drawn():
    return random.random() + np.random.normal()

@pytest.mark.experiment(**MARK)
def experiment_total(rng, drawn, delta=0.0):
    parts = random.random(), random.random()
    return {"total": rng.normal() + delta, "drawn": drawn, "last": parts[1], "gauss": random.gauss(0, 1)}
"""


def test_numbers_are_those_of_runs_one_by_one(project):
    """Whatever draws, however many runs are under way; so are those of code that awaits nothing."""
    write(project, PLAIN)
    plain = digests(project.run("-v", OFF))
    for most, running in ((1, 1), (6, 12)):
        write(project, DRAWING, mark="**MARK", most=most)
        result = project.run("-v", OFF)
        result.assert_outcomes(passed=1)
        assert most_running(project) == running
        assert digests(result) == plain != []
        (project.path / "log").unlink()


@pytest.mark.slow
def test_numbers_on_workers_and_from_the_cache(project):
    """They are the same there; runs are stored, and each is made once."""
    write(project, DRAWING, mark="**MARK", most=1)
    one_by_one = digests(project.run("-v", OFF))
    write(project, DRAWING, mark="**MARK", most=5)
    for options, cached in (("-v",), 0), (("-v", "-o", "crystallize_cache_verify=0"), 24):
        result = project.run_workers(*options)
        result.assert_outcomes(passed=1)
        assert digests(result) == one_by_one
        assert ("24 of 24 runs from cache" in result.stdout.str()) is bool(cached)


def test_a_replicate_is_claimed_when_there_is_room(project):
    """None waits for others that were claimed with it: the first one ends when the last one has begun."""
    write(
        project,
        """
        begun = asyncio.Event()

        @pytest.mark.experiment(replicates=9, max_concurrency=2)
        async def experiment_total(replicate):
            if replicate == 8:
                begun.set()
            if replicate == 0:
                await asyncio.wait_for(begun.wait(), 300)
        """,
    )
    project.run(OFF).assert_outcomes(passed=1)


def test_locks_of_tasks_are_no_memory(project):
    """Runs that take turns by a lock of their module, and put something on their loop, are stored."""
    write(
        project,
        """
        GATE = asyncio.Semaphore(2)

        @pytest.mark.experiment(replicates=9)
        async def experiment_total(rng):
            async with GATE:
                loop = asyncio.get_running_loop()
                loop.seen = getattr(loop, "seen", 0) + 1
                await asyncio.sleep(0)
            return {"total": rng.normal()}
        """,
    )
    project.run().stdout.no_fnmatch_line("*GATE changed*")
    project.run("-o", "crystallize_cache_verify=0").stdout.fnmatch_lines(["*9 of 9 runs from cache*"])


def test_looks_are_waited_for(project):
    """Early stopping ends after as many replicates as one by one, though more could be under way."""
    write(project, DRAWING, mark="**MARK | {'replicates': 40}", most="4")
    many = project.run("-v", OFF, "--crystallize-early-stop")
    write(project, DRAWING, mark="**MARK | {'replicates': 40}", most="1")
    single = project.run("-v", OFF, "--crystallize-early-stop")
    assert digests(many) == digests(single) != []
    many.stdout.fnmatch_lines(["*stopped at 16 of 40 replicates*"])


FIXTURES = """
told = contextvars.ContextVar("told")

@pytest.fixture
async def one_task(seed):
    told.set(seed)
    task = asyncio.current_task()
    async with asyncio.timeout(60):
        yield task
    assert asyncio.current_task() is task

@pytest.fixture
def of_seed(one_task, seed):
    assert told.get() == seed
    asyncio.run(asyncio.sleep(0))  # no event loop is running here
    return {"seed": seed}

@pytest.fixture(params=["one_task", "of_seed"])
def chosen(request):
    return request.getfixturevalue(request.param)

@pytest.fixture(scope="module")
async def server():
    note("server up")
    queue = asyncio.Queue()

    async def serve():
        while True:
            reply, number = await queue.get()
            reply.set_result(2 * number)

    task = asyncio.create_task(serve())
    yield queue
    task.cancel()
    note("server down")

@pytest.fixture(scope="module")
def wide(server):
    return server

@pytest.fixture
async def client(wide):
    async def ask(number):
        reply = asyncio.get_running_loop().create_future()
        await wide.put((reply, number))
        return await reply
    return ask

class TestMethods:
    @pytest.fixture
    async def mine(self, seed):
        self.seen = seed
        return self

    @pytest.mark.experiment(**MARK)
    async def experiment_method(self, rng, mine, seed, tmp_path, delta=0.0):
        await wait()
        assert mine is self and self.seen == seed
        (tmp_path / "file").touch(exist_ok=False)
        return {"total": rng.normal() + delta}

@pytest.mark.experiment(**MARK)
async def experiment_one_task(rng, one_task, of_seed, seed, request, delta=0.0):
    assert of_seed == {"seed": seed} and told.get() == seed
    of_seed["seed"] = None
    await wait()
    assert asyncio.current_task() is one_task
    assert request.getfixturevalue("seed") == seed
    return {"total": rng.normal() + delta}

@pytest.mark.experiment(**MARK)
async def experiment_chosen(rng, chosen, seed, delta=0.0):
    assert chosen == {"seed": seed} or chosen is asyncio.current_task()
    await wait()
    return {"total": rng.normal() + delta}

@pytest.mark.experiment(**MARK)
async def experiment_served(rng, client, replicate, delta=0.0):
    assert await client(replicate) == 2 * replicate
    return {"total": rng.normal() + delta}

@pytest.mark.experiment(**MARK)
def experiment_without_await(rng, of_seed, seed, delta=0.0):
    assert of_seed == {"seed": seed}
    return {"total": rng.normal() + delta}
"""


def test_fixtures(project):
    """Those of function scope are each run's own, in one task; wider ones are made once, on the same loop."""
    write(project, FIXTURES)
    result = project.run(OFF)
    result.assert_outcomes(passed=6)
    assert [entry for entry in project.log() if "server" in entry[0]] == [["server up"], ["server down"]]


def test_fixtures_that_fail(project):
    """A skip, a failure while a value is made, and one behind its yield are told as of other fixtures."""
    write(
        project,
        """
        @pytest.fixture
        async def failing(replicate):
            await asyncio.sleep(0)
            if replicate == 1:
                pytest.skip("not today")
            if replicate == 2:
                raise ValueError("no value")
            yield replicate
            await asyncio.sleep(0)
            if replicate == 3:
                raise ValueError("no end")
            note("down", replicate)

        @pytest.mark.experiment(replicates=5)
        async def experiment_total(failing):
            await wait()
        """,
    )
    result = project.run(OFF)
    result.assert_outcomes(failed=1)
    for line in (
        "INVALID: 3 of 5 replicates of 'baseline' are missing: replicate 1 was skipped: not today*",
        "replicate 2 of 'baseline', seed *, in setup:",
        "E *ValueError: no value",
        "replicate 3 of 'baseline', seed *, in teardown:",
        "E *ValueError: no end",
    ):
        result.stdout.fnmatch_lines([line])
    assert sorted(entry[1] for entry in project.log() if entry[0] == "down") == [0, 4]


def test_fixtures_of_the_whole_process(project):
    """With one of them among the fixtures, runs are made one by one; asked for later, it is an error."""
    write(
        project,
        """
        @pytest.fixture
        def patched(monkeypatch):
            monkeypatch.setenv("PATCHED", "yes")

        @pytest.mark.experiment(**MARK)
        async def experiment_patched(rng, patched, capsys, delta=0.0):
            print("out")
            await wait()
            assert capsys.readouterr().out == "out\\n"
            return {"total": rng.normal() + delta}

        @pytest.mark.experiment(replicates=3)
        async def experiment_later(request):
            request.getfixturevalue("patched")
        """,
    )
    result = project.run(OFF)
    result.assert_outcomes(passed=1, failed=1)
    assert most_running(project) == 1
    told = " ".join(line.strip() for line in result.outlines)
    assert "experiment_patched: runs are made one by one, since fixture 'monkeypatch' is about what" in told
    assert "Failed: fixture 'monkeypatch' is about what the whole process shares" in told


OUTPUT = """
import logging

async def never():
    pass

@pytest.mark.experiment(replicates=6, max_concurrency=6)
async def experiment_total(replicate):
    print("begin", replicate)
    logging.warning("logged %d", replicate)
    await wait()
    print("end", replicate)
    asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    if replicate == 2:
        raise ValueError("bad luck")
    if replicate == 4:
        never()

async def wait_for_ever():
    try:
        await asyncio.Event().wait()
    finally:
        note("ended")
"""


def test_what_a_run_prints_and_leaves_is_its_own(project):
    """Output, log, coroutines that nobody awaits, and tasks, which end with the run."""
    write(project, OUTPUT)
    result = project.run(OFF, "-W", "error", "-p", "no:asyncio")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*2 of 6 replicates of 'baseline' are missing: replicate 2 failed with *"])
    result.stdout.fnmatch_lines(["replicate 4 of 'baseline', *", "*coroutine 'never' was never awaited*"])
    shown = [line for line in result.outlines if line.startswith(("begin", "end", "WARNING"))]
    assert [line[-1] for line in shown] == ["2", "2", "2", "4", "4", "4"]
    assert project.log().count(["ended"]) == 6


ENDING = """
@pytest.fixture
async def client(replicate):
    note("up", replicate)
    yield
    await asyncio.sleep(0)
    note("down", replicate)

@pytest.mark.experiment(**MARK, max_concurrency=3, cache_key="1")
async def experiment_total(rng, client, replicate, condition, delta=0.0):
    if (replicate, condition) == (6, "baseline"):
        $end
    await asyncio.sleep(0.001)
    note("ran", replicate)
    return {"total": rng.normal() + delta}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os.kill(os.getpid(), 2); await asyncio.Event().wait()", pytest.ExitCode.INTERRUPTED),
        ("raise KeyboardInterrupt", pytest.ExitCode.INTERRUPTED),
        ("pytest.exit('enough', 5)", 5),
    ],
    ids=["signal", "interrupt", "exit"],
)
def test_interrupts_tear_every_run_down(project, monkeypatch, end, code):
    """Those under way are cancelled, and torn down; those that had ended are stored."""
    write(project, ENDING, end=f"if os.environ.get('END'): {end}")
    monkeypatch.setenv("END", "1")
    result = project.run_apart("-n0")
    assert result.ret == code
    up, down, ran = ([entry for entry in project.log() if entry[0] == kind] for kind in ("up", "down", "ran"))
    assert len(up) == len(down) > len(ran)
    monkeypatch.delenv("END")
    again = project.run_apart("-n0", "-o", "crystallize_cache_verify=0")
    again.assert_outcomes(passed=1)
    (stored,) = re.findall(r"(\d+) of 24 runs from cache", again.stdout.str())
    # Three replicates run together: of two besides the seventh, bodies may have ended and teardowns not.
    assert len(ran) >= 2 * 4
    assert len(ran) - 2 <= int(stored) <= len(ran)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["body", "teardown"])
def test_an_interrupt_loses_no_run_whose_body_has_ended(project, monkeypatch, where, workers):
    """Wherever code is when it comes that is not asynchronous: of a run, or behind its body."""
    write(project, INTERRUPTED, where=where)
    monkeypatch.setenv("WHERE", where)
    process = project.start(f"-n{workers}")
    output, _ = process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    ran = [entry for entry in project.log() if entry[0] == "ran"]
    monkeypatch.delenv("WHERE")
    again = project.run_apart("-n0", "-o", "crystallize_cache_verify=0")
    again.assert_outcomes(passed=1)
    (stored,) = re.findall(r"(\d+) of 80 runs from cache", again.stdout.str())
    assert int(stored) == len(ran) < 80


INTERRUPTED = """
def interrupt(where, replicate, condition):
    if os.environ.get("WHERE") == where and (replicate, condition) == (6, "baseline"):
        os.killpg(os.getpgrp(), 2)

@pytest.fixture
def client(replicate, condition):
    yield
    interrupt("teardown", replicate, condition)

@pytest.mark.experiment(**{**MARK, "replicates": 40}, max_concurrency=3, cache_key="1")
async def experiment_total(rng, client, replicate, condition, delta=0.0):
    await asyncio.sleep(0.1)
    note("ran", replicate)
    interrupt("body", replicate, condition)
    return {"total": rng.normal() + delta}
"""


SHORT_AT_LAST = """
from pathlib import Path

import pytest_timeout

def pytest_timeout_set_timer(item, settings):
    log = Path("log")
    if log.exists() and log.read_text().count("down") == 23:  # all others have ended
        settings = settings._replace(timeout=1.0)
    return pytest_timeout.pytest_timeout_set_timer(item, settings)
"""


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_by_its_time_out(project):
    """The others go on; the failure names it, and the line in which it waits."""
    pytest.importorskip("pytest_timeout")
    project.raw("conftest.py", SHORT_AT_LAST)
    write(project, ENDING, end="await asyncio.Event().wait()")
    result = project.run_apart("-n0", OFF, "--timeout=100")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*1 of 12 replicates of 'baseline' are missing: replicate 6 failed with Failed: Timeout*"]
    )
    result.stdout.fnmatch_lines(["*await asyncio.Event().wait()*"])
    assert len([entry for entry in project.log() if entry[0] == "down"]) == 24


@pytest.mark.parametrize("given", [0, True, "many"])
def test_max_concurrency_is_a_number(project, given):
    """Anything else is an error of collection."""
    project.write(
        f"""
        @pytest.mark.experiment(replicates=2, max_concurrency={given!r})
        async def experiment_total(): pass
        """
    )
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines([f"*experiment_total: max_concurrency is {given!r}; give an integer >= 1"])


def test_one_run_by_itself(project):
    """The line that repeats a run works, and lets its exception through."""
    write(project, ENDING, end="raise ValueError('bad luck')")
    for place, outcome in (("5:boost", {"skipped": 1}), ("6:baseline", {"failed": 1})):
        result = project.run(f"--crystallize-repro={place}", OFF)
        result.assert_outcomes(**outcome)
    assert project.log() == [["up", 5], ["ran", 5], ["down", 5], ["up", 6], ["down", 6]]


def test_remote_calls_belong_to_their_run(project):
    """A reply is kept for the seed of the run that asked for it, also in an asynchronous fixture."""
    write(
        project,
        """
        import crystallize

        @crystallize.remote(key="1")
        async def ask(question):
            note("asked", question)
            await asyncio.sleep(0)
            return random.random()

        @pytest.fixture
        async def first():
            return await ask("first")

        @pytest.mark.experiment(replicates=4, treatments={"again": {}})
        async def experiment_total(first):
            await asyncio.sleep(0)
            return {"total": first + sum(await asyncio.gather(ask("second"), ask("third")))}
        """,
    )
    found = [digests(project.run("-v", OFF)) for _ in range(2)]
    assert found[0] == found[1] != []
    assert len(project.log()) == 3 * 4


def test_other_event_loops_are_refused(project):
    """As anyio's fixture asks for them by default, beside asyncio's."""
    project.write(
        """
        @pytest.fixture(params=["asyncio", ("trio", {"restrict_keyboard_interrupt_to_checkpoints": True})])
        def anyio_backend(request): return request.param

        @pytest.mark.experiment(replicates=2)
        async def experiment_total(anyio_backend): pass
        """
    )
    result = project.run()
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*experiment_total*: anyio_backend is 'trio', and asynchronous runs share a *"]
    )
