"""A process that makes runs for this session, as the session sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import pytest

import crystallize
import pytest_crystallize
from crystallize.seam import Unit, printable
from pytest_crystallize.against import PROTOCOL, program
from pytest_crystallize.against.revision import Checkout

PATIENCE: Final = 20.0
"""Seconds in which fixtures of a session may be torn down at its end."""
_LONGEST_COLLECTION: Final = 600.0
"""Seconds in which a process has to have collected, from the moment on that this one waits for it."""
_PATIENCE_TO_KILL: Final = 2.0
_TOLD: Final = 2  # lines of what a process that died has printed
_OF_THE_SESSION: Final[dict[str, Any]] = {
    "crystallize": True,
    "crystallize_against": None,
    "crystallize_budget": None,
    "crystallize_events": None,
    "crystallize_report": [],
    "crystallize_disable": [],
    "crystallize_enable": [],
    "crystallize_prune_replies": None,
    "cacheclear": False,
    "continue_on_collection_errors": True,
    "deselect": None,
    "dist": "no",
    "failedfirst": False,
    "keyword": "",
    "lf": False,
    "log_file": None,
    "markexpr": "",
    "maxfail": 0,
    "newfirst": False,
    "numprocesses": None,
    "stepwise": False,
    "tx": [],
    "usepdb": False,
    "verbose": 0,
    "xmlpath": None,
}
"""Options that say what becomes of tests and reports, of which these processes know nothing."""
_LEFT_OUT: Final = (
    "basetemp",
    "file_or_dir",
    "inifilename",
    "plugins",
    "rootdir",
    "confcutdir",
    "override_ini",
)
_BLOCKED: Final = ("terminal", "lfplugin", "nfplugin", "stepwiseplugin", "pytest_cov")
_OF_ITS_OWN: Final = ("PYTEST_", "COV_CORE_", "GITHUB_STEP_SUMMARY")


class PartnerLost(Exception):
    """A process that makes no more runs; the message says what it printed last."""


def start_task(
    config: pytest.Config, checkout: Checkout | None, directory: Path, **given: Any
) -> dict[str, Any]:
    """Return what a process has to know to collect what this session collects.

    Parameters
    ----------
    config : pytest.Config
        Of this process.
    checkout : Checkout or None
        The commit that it is to run; None for what is checked out here.
    directory : Path
        What the plugin keeps from session to session.
    **given
        Options that were settled here.
    """

    def mapped(value: Any) -> Any:
        if isinstance(value, str) and checkout is not None and Path(value).is_absolute():
            return checkout.there(value) or value
        return [mapped(each) for each in value] if isinstance(value, list) else value

    options = {
        name: mapped(os.fspath(value) if isinstance(value, Path) else value)
        for name, value in vars(config.option).items()
        if name not in _LEFT_OUT
    }
    options |= {name: value for name, value in (_OF_THE_SESSION | given).items() if name in options}
    ini = None if config.inipath is None else mapped(str(config.inipath))
    if ini is None or not Path(ini).exists():
        ini = os.devnull  # or pytest would look for one above the worktree, and find today's
    root, here = mapped(str(config.rootpath)), str(config.invocation_params.dir)
    args = [f"--rootdir={root}", f"--config-file={ini}", f"--confcutdir={root}"]
    # What is in addopts today holds for both commits, and so does the device that this process has.
    overrides = [*(getattr(config.option, "override_ini", None) or ()), "addopts=", "crystallize_devices="]
    if getattr(config, "cache", None) is not None:
        overrides.append(f"cache_dir={directory.parents[1]}")
    args += [part for setting in overrides for part in ("-o", setting)]
    plugins = dict.fromkeys([*config.option.plugins, *(f"no:{name}" for name in _BLOCKED)])
    args += [part for name in plugins for part in ("-p", name)]
    home = mapped(here)
    return {
        "args": args,
        "cwd": home if Path(home).is_dir() else root,
        "first": mapped(here) if here in sys.path else None,
        "options": {name: value for name, value in options.items() if _is_plain(value)},
        "paths": _paths(config, checkout),
        "remap": None if checkout is None else _remap_of(checkout),
        "session": what_runs(),
    }


def what_runs() -> dict[str, Any]:
    """Return what a process of this session has to run, too: it and the session are of one version."""
    files = {module.__name__: module.__file__ for module in (crystallize, pytest_crystallize)}
    return {"files": files, "protocol": PROTOCOL}


def _remap_of(checkout: Checkout) -> dict[str, Any]:
    known = asdict(checkout)
    return {name: known[name] for name in ("top", "tree", "name", "linked")}


def _paths(config: pytest.Config, checkout: Checkout | None) -> list[str]:
    """Return the files and directories that are collected, as far as the commit has them."""
    found: dict[str, None] = {}
    for arg in config.args:
        path = (config.invocation_params.dir / arg.partition("::")[0]).absolute()
        place = str(path) if checkout is None else checkout.there(path)
        if place is not None and Path(place).exists():
            found.setdefault(place)
    return list(found)


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


class Partner:
    """Process that makes runs for this session, and ends with it.

    Parameters
    ----------
    task : mapping
        What `start_task` returned.
    paths : sequence of str, optional
        What it is to collect, if not all that the session collects.
    """

    def __init__(self, task: Mapping[str, Any], paths: list[str] | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="crystallize-", ignore_cleanup_errors=True)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._ready: dict[str, Any] | None = None
        self._slow = ""
        flags = ["-O"] * sys.flags.optimize + ["-B"] * sys.dont_write_bytecode
        flags += [
            f"-X{name}" if value is True else f"-X{name}={value}" for name, value in sys._xoptions.items()
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(_OF_ITS_OWN)}
        kept = ("PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
        environment |= {name: os.environ[name] for name in kept if name in os.environ}
        environment["PWD"] = task["cwd"]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, *flags, str(Path(program.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            cwd=task["cwd"],
            env=environment,
            start_new_session=True,
        )
        temporary = f"--basetemp={Path(self._temporary.name, 'pytest')}"
        args = [*task["args"], temporary, *(task["paths"] if paths is None else paths)]
        self._send({**task, "args": args})

    @property
    def is_ready(self) -> bool:
        """Whether it is known what it has collected."""
        return self._ready is not None

    def ready(self) -> dict[str, Any]:
        """Wait until it has collected, and return what.

        Raises
        ------
        PartnerLost
            If it ends in place of that.
        """
        if self._ready is None:
            timer = threading.Timer(_LONGEST_COLLECTION, self._kill_all)
            timer.daemon = True
            timer.start()
            try:
                self._ready = self._hear()
            except PartnerLost as fault:
                if not timer.is_alive():
                    self._slow = f"it had not collected after {_LONGEST_COLLECTION:g} s, and was ended: "
                raise PartnerLost(f"{self._slow}{fault}") from fault
            finally:
                timer.cancel()
        return self._ready

    def ask(
        self, experiment: str, units: Sequence[Unit], *, anew: bool
    ) -> Generator[dict[str, Any], None, None]:
        """Have runs made, one after the other, and yield what is said of each.

        Raises
        ------
        PartnerLost
            If it ends meanwhile.
        """
        self.ready()
        self._send({"kind": "run", "experiment": experiment, "units": units, "anew": anew})
        for _ in units:
            yield self._hear()

    def end(self) -> list[str]:
        """Have it end, and return what it noted."""
        said: list[dict[str, Any]] = []

        def listen() -> None:
            with suppress(PartnerLost, ValueError):
                self.ready()
                while True:
                    said.append(self._hear())

        self._send({"kind": "end"})
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        listener.join(PATIENCE)
        self.kill()
        return [note for reply in said if reply["kind"] == "notes" for note in reply["notes"]]

    def kill(self) -> None:
        """End it with all that it has started."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what is left to be written
                if stream is not None:
                    stream.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_TO_KILL)
        self._kill_all()  # what was to end the others may have been ended itself
        self._process.wait()
        self._log.close()
        self._temporary.cleanup()

    def _kill_all(self) -> None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _send(self, request: Mapping[str, Any]) -> None:
        stream: IO[str] | None = self._process.stdin
        assert stream is not None
        with suppress(OSError, ValueError):  # it has ended, which is heard next
            stream.write(json.dumps(request) + "\n")
            stream.flush()

    def _hear(self) -> dict[str, Any]:
        stream: IO[str] | None = self._process.stdout
        assert stream is not None
        line = "" if stream.closed else stream.readline()
        if line.endswith("\n"):
            if line.startswith("["):
                return {"kind": "record", "record": line, "strays": [], "unlike": None}
            try:
                reply: dict[str, Any] = json.loads(line)
            except ValueError as fault:  # a part of one, or none, behind which its guard has ended the line
                raise PartnerLost(self._last_words()) from fault
            if reply["kind"] == "more":
                return reply | {"kind": "record", "record": stream.readline()}
            if reply["kind"] != "ended":
                return reply
        raise PartnerLost(self._last_words())

    def _last_words(self) -> str:
        if self._log.closed:
            return "it was ended"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        last = [line.strip() for line in lines if line.strip()][-_TOLD:]
        return printable("; ".join(last)) or "it printed nothing"
