"""What a run does that no key can see."""

import asyncio
import importlib
import os
import pdb  # noqa: T100 - what is watched for
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from crystallize.identity.purity import Watcher


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Enter a directory with data in it; what is outside of it is no temporary directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("train.csv", "test.csv", "notes.txt"):
        (tmp_path / "data" / name).write_text("1,2")
    return tmp_path


def undeclared(*names):
    return tuple(f"opened {name}, which is not declared in inputs=" for name in names)


def reasons(run, *inputs, **others):
    """Return why a run under watch is impure."""
    with Watcher(inputs, **others).watch() as watch:
        run()
    return watch.reasons


# Files


def test_a_file_that_is_not_declared_is_noted(project):
    """With its name from here, once, whatever opens it."""

    def run():
        Path("data/train.csv").read_text()
        open("data/train.csv").close()  # noqa: PTH123
        os.close(os.open(b"data/train.csv", os.O_RDONLY))
        Path("data/test.csv").open("r+").close()

    assert reasons(run)[:2] == undeclared("data/train.csv", "data/test.csv")


def test_a_declared_file_is_pure(project):
    """However it is declared, and however it is spelled."""

    def run():
        Path("data/../data/train.csv").read_text()
        (project / "data" / "train.csv").read_text()

    for declared in ("data/train.csv", Path("data/train.csv"), project / "data", "data/*.csv", "**/t*.csv"):
        assert reasons(run, declared) == ()
    for declared in ("data/test.csv", "data/*.txt", "*.csv", "dat", project / "temporary"):
        assert reasons(run, declared) == undeclared("data/train.csv")


def test_a_file_that_came_after_its_pattern_is_not_declared(project):
    """The key holds the content of those that were there."""
    watcher = Watcher(["data/*.csv"])
    Path("data/new.csv").write_text("")
    with watcher.watch() as watch:
        Path("data/new.csv").read_text()
    assert watch.reasons == undeclared("data/new.csv")


def test_a_file_that_is_not_there_is_noted_too(project):
    """The result depends on that, and it may come."""

    def run():
        with pytest.raises(FileNotFoundError):
            Path("options.json").read_text()

    assert reasons(run) == undeclared("options.json")


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges there")
def test_code_that_has_no_file_is_looked_for_in_none(project):
    """Python looks for the line that it can't compile; a file of such a name is one like others."""

    def run():
        with suppress(SyntaxError):
            compile("1 +", "<unknown>", "exec")
        with suppress(FileNotFoundError):
            Path("<unknown>").read_text()

    assert reasons(run) == ()
    Path("<unknown>").touch()
    assert reasons(run) == undeclared("<unknown>")


def test_links_lead_to_what_they_name(project):
    """What was declared may be a link, and a link does not make a file the run's own."""
    Path("link.csv").symlink_to("data/train.csv")
    assert reasons(lambda: Path("link.csv").read_text(), "link.csv") == ()
    assert reasons(lambda: Path("link.csv").read_text(), "data") == ()
    assert reasons(lambda: Path("link.csv").read_text()) == undeclared("link.csv")

    def run():
        own = Path(tempfile.mkdtemp())
        (own / "link").symlink_to(project / "data")
        (own / "link" / "test.csv").read_text()

    assert len(reasons(run)) == 1


def test_what_a_run_writes_in_a_temporary_directory_it_may_read(project):
    """In a directory of its own, in one that was there, under another name."""

    def run():
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "sub" / "deep").mkdir(parents=True)
            (Path(directory) / "sub" / "deep" / "a").write_text("1")
            (Path(directory) / "sub").rename(Path(directory) / "other")
            assert (Path(directory) / "other" / "deep" / "a").read_text() == "1"
        with tempfile.TemporaryFile("w+") as file:
            file.write("1")
        with tempfile.NamedTemporaryFile() as file:
            assert Path(file.name).read_bytes() == b""
        path = Path("temporary/a.tmp")
        path.write_text("1")
        path.replace("temporary/a")
        shutil.copy("temporary/a", "temporary/b")
        with Path("temporary/b").open("a+") as file:
            file.write("2")
        Path("temporary/b").read_text()

    assert reasons(run) == ()


def test_what_c_code_writes_into_a_directory_of_the_run_it_may_read(project):
    """All that is in such a directory is the run's, whoever wrote it."""

    def run():
        directory = Path(tempfile.mkdtemp())
        os.mkfifo(directory / "a") if hasattr(os, "mkfifo") else (directory / "a").touch()
        os.close(os.open(directory / "a", os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)))

    assert reasons(run) == ()


@pytest.mark.parametrize("mode", ["r", "r+", "a+"])
def test_a_temporary_file_of_somebody_else_is_noted(project, mode):
    """An earlier run may have left it, or a fixture of the session."""
    Path("temporary/left").write_text("1")
    assert reasons(lambda: Path("temporary/left").open(mode).close()) == undeclared("temporary/left")


def test_a_directory_that_was_there_is_not_the_runs(project):
    """Making it again makes it no other."""

    def run():
        Path("data").mkdir(exist_ok=True)
        Path("data/train.csv").read_text()

    assert reasons(run) == undeclared("data/train.csv")


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the system does not tell what a descriptor is"
)
def test_a_directory_that_is_listed_by_a_descriptor_is_noted(project):
    """As by its name; one that is listed to be removed is not."""

    def run():
        shutil.rmtree(tempfile.mkdtemp())
        assert len(list(os.fwalk("data"))) == 1

    assert reasons(run) == ("listed data, which is not declared in inputs=",)
    assert reasons(run, "data") == ()


def test_a_file_that_takes_anothers_place_is_noted(project):
    """What was moved there is not what the run wrote."""

    def run():
        Path("temporary/a").write_text("1")
        Path("data/train.csv").replace("temporary/a")
        Path("temporary/a").read_text()

    assert reasons(run) == undeclared("temporary/a")


@pytest.mark.parametrize(
    "write",
    [
        lambda: Path("out.txt").write_text("1"),
        lambda: Path("out.txt").open("a").close(),
        lambda: shutil.move("temporary/x", "out.txt"),
    ],
    ids=["write", "append", "move"],
)
def test_a_file_that_stays_is_noted(project, write):
    """Who finds the result stored would not find the file."""
    Path("temporary/x").touch()
    assert reasons(write) == ("wrote out.txt, which a stored result would not",)


def test_directories_of_the_library_are_not_looked_at(project):
    """Its cache and its artifacts are no business of a run's."""

    def run():
        Path("data/train.csv").read_text()
        Path("data/new").write_text("1")

    assert reasons(run, ignored=["data"]) == ()


@pytest.mark.parametrize(
    "path",
    [
        os.devnull,
        subprocess.__file__,
        pytest.__file__,
        sys.modules["crystallize.identity.purity"].__file__,
        pytest.param("/proc/self/stat", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux")),
    ],
)
def test_what_the_environment_holds_is_pure(project, path):
    """Devices, what is installed, and the library itself."""
    assert reasons(lambda: Path(path).read_bytes()) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
def test_a_file_that_the_system_leads_to_is_noted(project):
    """By a link among what the environment holds."""
    run = Path("/proc/self/cwd/data/train.csv").read_text
    assert reasons(run) == undeclared("/proc/self/cwd/data/train.csv")


def test_what_lies_outside_of_the_project_is_noted(project):
    """It is said with its whole name."""
    other = Path(__file__).resolve()
    assert reasons(lambda: other.read_bytes()) == undeclared(other.as_posix())


def test_opening_a_descriptor_is_pure(project):
    """Its file was opened before."""
    with Path("data/train.csv").open() as file:
        assert reasons(lambda: open(file.fileno(), closefd=False).close()) == ()


# Imports


def imported(project, monkeypatch, **others):
    (project / "lazily.py").write_text("X = 1")
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = reasons(lambda: importlib.import_module("lazily"), **others)
    del sys.modules["lazily"]
    importlib.invalidate_caches()
    again = reasons(lambda: importlib.import_module("lazily"), **others)  # from its bytecode
    del sys.modules["lazily"]
    return found, again


def test_an_import_that_the_fingerprint_holds_is_pure(project, monkeypatch):
    """Also where it writes bytecode, and where it reads that."""
    assert imported(project, monkeypatch, code=["lazily.py"]) == ((), ())
    assert list((project / "__pycache__").iterdir())


def test_an_import_that_the_fingerprint_does_not_hold_is_noted(project, monkeypatch):
    """By the name of its source, wherever it is read from."""
    assert imported(project, monkeypatch) == (undeclared("lazily.py"), undeclared("lazily.py"))


def test_bytecode_elsewhere_belongs_to_its_source(project, monkeypatch):
    """PYTHONPYCACHEPREFIX moves it out of the project."""
    monkeypatch.setattr(sys, "pycache_prefix", str(project / "bytecode"))
    assert imported(project, monkeypatch, code=["lazily.py"]) == ((), ())
    assert imported(project, monkeypatch)[1] == undeclared("lazily.py")


# Network, processes, databases


def connect():
    with socket.socket(type=socket.SOCK_DGRAM) as sender:  # no packet is sent
        sender.connect(("127.0.0.1", 9))


def send():
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"", ("127.0.0.1", 9))


def listen():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (connect, "connected to a network address"),
        (send, "sent to a network address"),
        (listen, "listened on a network address"),
        (lambda: socket.getaddrinfo("127.0.0.1", 9), "looked up a network address"),
        (
            lambda: subprocess.run([sys.executable, "-c", ""]),
            f"started the process {Path(sys.executable).name!r}",
        ),
        (lambda: os.system("exit"), "started the process 'exit'"),
    ],
    ids=["connect", "send", "listen", "look-up", "process", "command"],
)
def test_what_is_outside_is_noted(run, reason):
    """The key sees neither the network nor other processes."""
    assert reasons(run) == (reason,)


def test_the_network_is_named_before_files(project):
    """Whoever asks it opens files as well, which would tell little."""

    def run():
        for i in range(20):
            Path(f"certificates{i}").write_text("")
        socket.getaddrinfo("127.0.0.1", 9)
        connect()

    told = reasons(run)
    assert told[:2] == ("looked up a network address", "connected to a network address")
    assert told[2].startswith("wrote certificates0")


@pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="POSIX")
def test_processes_are_noted_however_they_are_started():
    """Below `subprocess` too."""

    def spawn():
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), 0)

    assert reasons(spawn) == (f"started the process {Path(sys.executable).name!r}",)


def test_a_request_over_an_old_connection_is_noted():
    """It was connected before the run, and is used in it."""
    import http.client

    ours, theirs = socket.socketpair()
    connection = http.client.HTTPConnection("model.example")
    connection.sock = ours
    assert reasons(lambda: connection.request("GET", "/")) == ("connected to a network address",)
    connection.close()
    theirs.close()


def test_an_event_loop_is_pure():
    """Its sockets lead to itself."""

    async def nothing():
        await asyncio.sleep(0)

    assert reasons(lambda: asyncio.run(nothing())) == ()


def test_a_database_is_a_file(project):
    """One in memory is none, one of the run's own is pure, one that is declared too."""

    def use(name, **options):
        sqlite3.connect(name, **options).close()

    use("data/results.db")
    noted = ("opened the database data/results.db, which is not declared in inputs=",)
    assert reasons(lambda: use(":memory:")) == ()
    assert reasons(lambda: use("file:x?mode=memory", uri=True)) == ()
    assert reasons(lambda: use("file:memory.db", uri=True)) != ()
    assert reasons(lambda: use("data/results.db")) == noted
    assert reasons(lambda: use(b"data/results.db")) == noted
    assert reasons(lambda: use("file:data/results.db?mode=ro", uri=True)) == noted
    assert reasons(lambda: use("data/results.db"), "data/results.db") == ()

    def own():
        use("temporary/own.db")
        use("temporary/own.db")
        use(Path(tempfile.mkdtemp()) / "other.db")

    assert reasons(own) == ()
    assert len(reasons(own)) == 1


def test_a_debugger_is_noted(project, monkeypatch):
    """Whatever somebody did there."""
    monkeypatch.setattr(sys, "breakpointhook", lambda: None)
    for stop in (breakpoint, lambda: pdb.Pdb(readrc=False)):
        assert reasons(stop) == ("stopped in a debugger, where anything may be changed",)


# Which run it was


def test_what_is_done_before_and_after_is_not_noted(project):
    """Fixtures of the session, and reports."""
    watcher = Watcher()
    Path("data/train.csv").read_text()
    with watcher.watch() as watch:
        pass
    Path("data/train.csv").read_text()
    assert watch.reasons == watcher.reasons == ()


def test_one_impure_run_taints_those_that_follow(project):
    """They may use what it left in memory, as a cached function does."""
    watcher = Watcher()
    with watcher.watch() as first:
        pass
    assert first.reasons == ()
    with watcher.watch():
        Path("data/train.csv").read_text()
    with watcher.watch() as last:
        pass
    assert last.reasons == undeclared("data/train.csv")
    with Watcher().watch() as other:
        pass
    assert other.reasons == ()


def test_what_one_run_wrote_is_not_the_next_ones(project):
    """Which one comes first depends on who runs it."""
    watcher = Watcher()
    with watcher.watch() as first:
        Path("temporary/shared").write_text("1")
    assert first.reasons == ()
    with watcher.watch() as second:
        Path("temporary/shared").read_text()
    assert second.reasons == undeclared("temporary/shared")


def test_a_step_taints_its_run(project):
    """A watch within a watch: both note."""
    run, step = Watcher(), Watcher()
    with run.watch():
        with step.watch():
            Path("data/train.csv").read_text()
        Path("data/test.csv").read_text()
    assert step.reasons == undeclared("data/train.csv")
    assert run.reasons == undeclared("data/train.csv", "data/test.csv")


def in_thread(run):
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_runs_in_threads_are_told_apart(project):
    """Each notes what its own thread does."""
    first, second = Watcher(), Watcher()

    def run():
        with second.watch():
            Path("data/test.csv").read_text()

    with first.watch():
        in_thread(run)
        Path("data/train.csv").read_text()
    assert first.reasons == undeclared("data/train.csv")
    assert second.reasons == undeclared("data/test.csv")


def test_a_thread_of_a_run_is_noted(project):
    """And what no run owns up to counts for all of them."""
    first, second = Watcher(), Watcher()
    with first.watch():
        in_thread(lambda: Path("data/train.csv").read_text())
        with second.watch():
            in_thread(lambda: Path("data/test.csv").read_text())
    assert first.reasons == undeclared("data/train.csv", "data/test.csv")
    assert second.reasons == undeclared("data/test.csv")


def test_runs_in_tasks_are_told_apart(project):
    """Also where they take turns, and a thread works for one of them."""

    async def run(watcher, name, turn, other):
        with watcher.watch():
            await turn.wait()
            await asyncio.to_thread(Path(name).read_text)
            other.set()

    async def both():
        turns = [asyncio.Event(), asyncio.Event()]
        turns[0].set()
        await asyncio.gather(
            run(first, "data/train.csv", *turns), run(second, "data/test.csv", *reversed(turns))
        )

    first, second = Watcher(), Watcher()
    asyncio.run(both())
    assert first.reasons == undeclared("data/train.csv")
    assert second.reasons == undeclared("data/test.csv")


def test_a_run_that_fails_is_watched_no_longer(project):
    """Its exception goes on."""
    watcher = Watcher()
    with pytest.raises(ZeroDivisionError), watcher.watch():
        1 / 0  # noqa: B018
    Path("data/train.csv").read_text()
    assert watcher.reasons == ()


def test_few_reasons_are_kept(project):
    """A run that opens a thousand files has one fault, not a thousand."""

    def run():
        for i in range(20):
            Path(f"data/{i}").exists() or shutil.copy("data/train.csv", f"temporary/{i}")
            Path(f"temporary/{i}").replace(f"data/{i}")

    assert len(reasons(run)) == 8


def test_a_failure_to_judge_is_impure_and_no_error(project, monkeypatch):
    """What goes wrong in the hook is not the run's."""

    def gone(*args):
        raise RecursionError("deep")

    watcher = Watcher()
    with watcher.watch() as watch, monkeypatch.context() as patched:
        patched.setattr(os.path, "realpath", gone)
        open("data/train.csv").close()  # noqa: PTH123
    assert watch.reasons == ("did what can't be judged (open: RecursionError: deep)",)


def test_where_our_hook_is_refused_nothing_is_pure():
    """Another hook may do so, in silence."""
    code = (
        "import sys\n"
        "def only(event, args):\n"
        "    if event == 'sys.addaudithook': raise RuntimeError('no others')\n"
        "sys.addaudithook(only)\n"
        "from crystallize.identity.purity import Watcher\n"
        "with Watcher().watch() as watch: pass\n"
        "print(watch.reasons)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '("can\'t be watched: another audit hook refuses ours",)'


def test_nothing_is_heard_before_the_first_watch():
    """Who stores nothing pays nothing: the hook comes with the first watch."""
    code = (
        "import sys\n"
        "hooks = []\n"
        "sys.addaudithook(lambda event, args: hooks.append(event) if event == 'sys.addaudithook' else None)\n"
        "from crystallize.identity.purity import Watcher\n"
        "watcher = Watcher()\n"
        "print(len(hooks))\n"
        "for _ in range(3):\n"
        "    with watcher.watch(): pass\n"
        "print(len(hooks))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]
