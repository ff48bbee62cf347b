"""The processes that make runs of another commit: what they import, and how they end."""

import os
import signal
import sys
import textwrap
import time

import pytest

from plugin.against.conftest import leftovers
from plugin.conftest import edited
from pytest_crystallize.against import partner

BODY = """
import os, time
import pkg

@pytest.mark.experiment(
    replicates=12,
    hypotheses=[
        Hypothesis(metric="hits", direction="no_decrease", margin=0.2, against=Revision(), name="kept")
    ],
)
def experiment_hits(rng, replicate):
    {lines}
    return {{"hits": rng.normal() - pkg.LOSS * rng.uniform(0.5, 1.5)}}
"""
LOSS = """
{above}

@pytest.mark.experiment(
    replicates=3,
    hypotheses=[
        Hypothesis(
            metric="loss",
            direction="equal",
            deterministic=True,
            margin=0.1,
            against=Revision(),
            name="kept",
        )
    ],
)
def experiment_hits():
    {lines}
"""
TEST = "experiment_hits::kept[baseline]"


def write(repository, lines="", body=BODY, above=""):
    lines = textwrap.indent(textwrap.dedent(lines), "    ").lstrip()
    repository.project.write(body.format(lines=lines, above=textwrap.dedent(above)))


@pytest.mark.slow
def test_a_process_that_dies_is_told_and_the_next_run_is_made_by_another(repository):
    """What it ran is missing; the session goes on."""
    write(repository, "if pkg.LOSS == 0 and replicate == 3: os.kill(os.getpid(), 9)")
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    found, result = repository.compare(apart=True)
    assert result.ret == 1
    assert found[TEST]["status"] == "invalid"
    assert "1 of 12 replicates of 'baseline in v1' are missing: replicate 3" in found[TEST]["reason"]
    assert "the process died while it ran this condition" in found[TEST]["reason"]
    wait_until(lambda: not leftovers(str(repository.path)))


@pytest.mark.slow
def test_what_the_next_process_loads_of_the_checkout_is_told_too(repository):
    """It collects anew, and may find another way than the one that has died."""
    module, ran = repository.path / "module.py", repository.path / "ran"
    above = f"if os.path.exists({str(ran)!r}): import runpy; runpy.run_path({str(module)!r})"
    write(
        repository,
        f"""
        if pkg.LOSS == 0 and not os.path.exists({str(ran)!r}):
            open({str(ran)!r}, "w").close()
            os.kill(os.getpid(), 9)
        """,
        edited(BODY, "import pkg", f"import pkg\n{above}"),
    )
    repository.project.raw("module.py", "")
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    found, _ = repository.compare(apart=True)
    assert "12 of 12 replicates of 'baseline in v1' are missing" in found[TEST]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "side"), [("-n0", "here"), ("-n0", "there"), ("-n2", "there")])
def test_a_session_that_is_killed_leaves_no_process_behind(repository, workers, side):
    """While a run goes on for long, here, or there with a child of its own."""
    loss = 0.0 if side == "there" else 0.01
    write(
        repository,
        f"""
        if pkg.LOSS == {loss}:
            import subprocess, sys
            if {side == "there"}:
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", os.getcwd()])
            open({str(repository.path / "ran")!r}, "w").close()
            time.sleep(600)
        """,
    )
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    before = repository.state()
    session = repository.project.start("-q", workers, "--crystallize-against=v1")
    wait_until(lambda: (repository.path / "ran").exists() or session.poll() is not None)
    assert session.poll() is None, session.communicate()
    os.kill(session.pid, signal.SIGKILL)
    session.communicate()
    wait_until(lambda: not leftovers(str(repository.path)))
    assert repository.state() == before


def wait_until(condition):
    """Wait for a condition, as long as the test may last."""
    while not condition():
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["path", "environment"])
def test_programs_that_runs_start_are_of_the_commit_too(repository, monkeypatch, way):
    """Else both commits would run the same one, and no change would be seen."""
    lines = """
        command = [sys.executable, "-c", "import pkg; print(pkg.LOSS)"]
        return {"loss": float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)}
    """
    write(repository, lines, LOSS, above="import subprocess, pkg")
    monkeypatch.setenv("PYTHONPATH", str(repository.path / "src"))
    if way == "environment":
        repository.project.ini("")
    repository.commit("v1")
    repository.package("LOSS = 0.5\n")
    found, result = repository.compare(apart=True)
    assert found[TEST]["status"] == "refuted", result.stdout.str()


@pytest.mark.slow
def test_generated_modules_are_named_and_may_be_shared(repository):
    """What git does not track is at no commit."""
    write(repository, "from pkg.generated import NUMBER")
    repository.commit("v1")
    repository.package("NUMBER = 1\n", "pkg/generated.py")
    found, _ = repository.compare(apart=True)
    assert found[TEST]["status"] == "invalid"
    assert "crystallize_against_link = src/pkg/generated.py" in found[TEST]["reason"]
    repository.project.ini("pythonpath = src\ncrystallize_against_link = src/pkg/generated.py\n")
    found, _ = repository.compare(apart=True)
    assert found[TEST]["status"] == "supported"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["open", "run", "module", "directory", "environment", "text"])
def test_what_is_read_by_its_path_in_the_checkout_is_told(repository, way):
    """Else both commits would read the same file, and no change of it would be seen, today or tomorrow."""
    reads = {
        "open": "float(Path(HERE, 'data.py').read_text())",
        "run": "float(subprocess.check_output([sys.executable, HERE + '/program.py']))",
        "module": "runpy.run_path(HERE + '/module.py')['LOSS']",
        "environment": "float(subprocess.check_output([sys.executable, '-c', OF_DATA], env={'HERE': HERE}))",
        "text": "float(subprocess.check_output([sys.executable, '-c', OF_DATA.replace('$HERE', HERE)]))",
        "directory": "os.chdir(HERE) or float(Path('data.py').read_text())",
    }
    above = f"""
        import os, runpy, subprocess, sys
        from pathlib import Path

        HERE = {str(repository.path)!r}
        OF_DATA = "import os; print(open(os.path.expandvars('$HERE/data.py')).read())"
    """
    write(repository, f"return {{'loss': {reads[way]}}}", LOSS, above)
    for loss, tag in ((0.0, "v1"), (0.5, None)):
        repository.project.raw("data.py", f"{loss}\n")
        repository.project.raw("program.py", f"print({loss})\n")
        repository.project.raw("module.py", f"LOSS = {loss}\n")
        repository.commit(tag)
    for _ in range(2):
        found, result = repository.compare(apart=True)
        assert found[TEST]["status"] == "invalid", result.stdout.str()
        assert "what is not of v1" in found[TEST]["reason"]


def test_a_process_that_does_not_collect_is_ended(tmp_path, monkeypatch):
    """No session waits for ever for what hangs when it is imported there."""
    monkeypatch.setattr(partner, "_LONGEST_COLLECTION", 0.5)
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    here = str(tmp_path)
    hanging = partner.Partner(task_in(here, args=["-p", "hangs"], first=here))
    for _ in range(2):  # it may be asked by who waited and by who has runs made
        with pytest.raises(partner.PartnerLost, match=r"had not collected after 0\.5 s"):
            hanging.ready()
    hanging.kill()


ENDS = """
import os, signal, time

if os.fork() == 0:
    {apart}
    with open("child", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists("child") or not open("child").read():
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
@pytest.mark.parametrize("apart", ["pass", "os.setsid()"])
def test_a_process_that_dies_is_not_waited_for_since_it_left_a_child(tmp_path, apart):
    """Such a child has what the session hears by open, for as long as it lives."""
    (tmp_path / "ends.py").write_text(ENDS.format(apart=apart), encoding="utf-8")
    here = str(tmp_path)
    process = partner.Partner(task_in(here, args=["-p", "ends"], first=here))
    with pytest.raises(partner.PartnerLost, match="it printed nothing"):
        process.ready()
    process.kill()
    if apart != "pass":
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def task_in(directory, **given):
    task = {"args": [], "cwd": directory, "first": None, "options": {}, "paths": [], "remap": None}
    return task | {"session": partner.what_runs()} | given


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"files": {"crystallize": "elsewhere"}}, "crystallize is elsewhere in the session, but"),
        ({"protocol": -1}, "crystallize was changed while the session ran"),
    ],
)
def test_a_process_of_another_version_makes_no_runs(tmp_path, other, said):
    """It might say something else by the same words."""
    process = partner.Partner(task_in(str(tmp_path), session=partner.what_runs() | other))
    with pytest.raises(partner.PartnerLost, match=said):
        process.ready()
    process.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the session ends it, when it ends")
def test_a_guard_that_is_killed_alone_takes_its_process_along(repository):
    """The run that was under way is missing, what it had started is ended, and the session goes on."""
    ran = repository.path / "ran"
    write(
        repository,
        f"""
        if pkg.LOSS == 0 and not os.path.exists({str(ran)!r}):
            import subprocess, sys
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", os.getcwd()])
            with open({f"{ran}.new"!r}, "w") as file:
                file.write(str(os.getppid()))
            os.replace({f"{ran}.new"!r}, {str(ran)!r})
            time.sleep(600)
        """,
    )
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    session = repository.project.start("-q", "-n0", "--crystallize-against=v1")
    wait_until(lambda: ran.exists() or session.poll() is not None)
    os.kill(int(ran.read_text()), signal.SIGKILL)
    out, _ = session.communicate()
    assert session.returncode == 1
    assert "1 of 12 replicates of 'baseline in v1' are missing" in " ".join(out.split())
    wait_until(lambda: not leftovers(str(repository.path)))


COUNTING = """
def pytest_timeout_set_timer(item, settings):
    with open("std-timers", "a") as file:
        file.write("x")
    return True
"""


@pytest.mark.slow
def test_each_run_there_has_the_whole_time(repository):
    """Those of a group, too, which may be slower than the one by which they were put together."""
    pytest.importorskip("pytest_timeout")
    write(repository)
    repository.project.raw("conftest.py", COUNTING)
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    repository.compare("--timeout=100")
    assert len((repository.path / "std-timers").read_text()) >= 2 * 12


NOTING = """
import os
import pytest

def note(what):
    if os.getcwd() == {here!r}:
        with open({noted!r}, "a") as file:
            file.write(what)

@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item, settings):
    note("runs ")

@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item):
    note("waits ")
"""
LOADED = """
if pkg.LOSS == 0:
    with open({noted!r}, "a") as file:
        file.write("loads ")
"""


@pytest.mark.slow
def test_what_the_next_process_loads_is_part_of_no_run(repository, tmp_path):
    """The timer is stopped until it has collected, as it was when the first one did."""
    pytest.importorskip("pytest_timeout")
    noted = tmp_path / "noted"
    above = LOADED.format(noted=str(noted))
    body = edited(BODY, "import pkg\n", "import pkg\n{above}\n")
    write(repository, "if pkg.LOSS == 0 and replicate == 3: os.kill(os.getpid(), 9)", body, above)
    repository.project.raw("conftest.py", NOTING.format(here=str(repository.path), noted=str(noted)))
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    found, _ = repository.compare("--timeout=100", apart=True)
    assert "1 of 12 replicates of 'baseline in v1' are missing: replicate 3" in found[TEST]["reason"]
    events = noted.read_text().split()
    loads = [place for place, event in enumerate(events) if event == "loads"]
    assert len(loads) == 2
    assert events[loads[1] - 1] == "waits"
    assert "runs" in events[loads[1] :]


@pytest.mark.slow
def test_a_process_that_a_time_out_has_ended_is_asked_for_nothing_more(repository):
    """Else the next run, which was never begun, would have died with it."""
    pytest.importorskip("pytest_timeout")
    ran = repository.path / "ran"
    write(
        repository,
        f"""
        if pkg.LOSS == 0 and replicate == 3 and not os.path.exists({str(ran)!r}):
            open({str(ran)!r}, "w").close()
            time.sleep(600)
        """,
        edited(BODY, "hypotheses=[", "treatments={{'same': {{}}}}, hypotheses=["),
    )
    repository.commit("v1")
    repository.package("LOSS = 0.01\n")
    _, result = repository.compare("--timeout=2", apart=True)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*Timeout*"])
    result.stdout.no_fnmatch_line("*it was ended*")
