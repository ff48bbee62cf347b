"""What code runs in: Python, the machine, and every installed distribution."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from crystallize.identity.loaded_files import homes
from crystallize.identity.origin import is_project_file
from crystallize.storage.system import cores

_FIRST_LINES: Final = re.compile(
    r"Metadata-Version: [\d.]+\nName: (?P<name>[\w.-]+)\nVersion: (?P<version>[\w.!+-]+)\n(?!\s)"
)
_ADDED: Final = re.compile(r"\.dist-info/(INSTALLER|REQUESTED|RECORD|direct_url\.json|uv_\w+\.json)$|\.pyc$")


@dataclass(frozen=True, slots=True)
class Environment:
    """Identity of an environment.

    Attributes
    ----------
    digest : str
        64 hexadecimal digits.
    parts : Mapping of str to str
        ``Python``, ``Python flags``, ``system``... and each distribution by its normalized name -> what
        identifies it: a version, followed by a short digest of its files.
    """

    digest: str
    parts: Mapping[str, str]

    def to_json(self) -> dict[str, str]:
        """Return the parts, from which `from_json` makes an equal environment in another process."""
        return dict(self.parts)

    @classmethod
    def from_json(cls, parts: Mapping[str, str]) -> Environment:
        """Return the environment that consists of these parts."""
        text = json.dumps(sorted(parts.items()))
        return cls(blake2b(text.encode(), digest_size=32).hexdigest(), dict(parts))


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the environment of this process; it is computed once.

    Distributions count by name, version and the digests that their installer recorded (``RECORD``), so that
    another build of a version counts, and who installed it where does not. Files that were edited behind
    their installation do not show; `loaded_files` tells of them. Of editable installs only name and version
    count, since their code is the project's; Crystallize counts by its source.
    """
    parts = {
        "Python": f"{platform.python_implementation()} {sys.version}",
        "Python flags": " ".join(
            f"{name}={getattr(sys.flags, name)}"
            for name in ("optimize", "utf8_mode", "dev_mode", "int_max_str_digits")
        ),
        "options of Python": _options(),
        "system": " ".join([platform.system(), *platform.libc_ver()]),
        "machine": f"{platform.machine()} {sys.byteorder} {processor()}",
        "threads of libraries": _threads(),
        "start of Python": _start(),
        "crystallize source": _own_source(),
    }
    return Environment.from_json(parts | dict(_distributions()))


def environment_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Say what differs between the parts of two environments, such as ``numpy 2.4.5 -> 2.4.6``."""
    said = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if before is None or after is None:
            said.append(
                f"{name} {_version(before or after or '')} was {'added' if before is None else 'removed'}"
            )
        elif _version(before) == _version(after):
            said.append(f"{name} {_version(before)} has other files")
        else:
            said.append(f"{name} {_version(before)} -> {_version(after)}")
    return said


def _version(part: str) -> str:
    return part.partition(" files ")[0]


def _distributions() -> Iterator[tuple[str, str]]:
    """Yield each distribution once; of those that share a name, the first on the path counts."""
    met = set()
    for distribution in importlib.metadata.distributions():
        try:
            name, version = _named(distribution)
        except (TypeError, KeyError, OSError):
            continue  # a leftover of an installation that broke off
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name in met:
            continue
        met.add(name)
        if _is_editable(distribution):
            yield name, f"{version} editable"
            continue
        record = distribution.read_text("RECORD")
        said = distribution.read_text("METADATA") or "" if record is None else _of_the_wheel(record)
        digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        yield name, f"{version} files {digest}"


def _named(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return the name and the version of a distribution, from its first lines where they say both.

    The whole of the metadata, long descriptions and all, takes a parser of mails as long as everything else.
    """
    found = _FIRST_LINES.match(distribution.read_text("METADATA") or "")
    if found is not None:
        return found["name"], found["version"]
    return distribution.metadata["Name"], distribution.version


def _of_the_wheel(record: str) -> str:
    """Return the lines that tell of the wheel's own files, not of what an installer added or wrote anew.

    Scripts name the interpreter of their environment, and lie outside.
    """
    kept = []
    for line in record.splitlines():
        path, _, rest = line.rpartition(",")[0].rpartition(",")
        name = path.strip('"')
        added = rest == "" or name.startswith(("/", "..")) or _ADDED.search(name)
        if not added:
            kept.append(line)
    return "\n".join(sorted(kept))


def _options() -> str:
    """Return what Python was started with: filters of warnings, -X options, and a hash seed that was set."""
    given = sorted(f"{name}={value}" for name, value in sys._xoptions.items())
    seed = os.environ.get("PYTHONHASHSEED") or "random"
    return json.dumps([sys.warnoptions, given, seed])


def _start() -> str:
    """Return the digest of what Python executes of site-packages when it starts."""
    digest = blake2b(digest_size=8)
    for home in dict.fromkeys(os.path.realpath(home) for home in homes()):
        names: list[str] = []
        with suppress(OSError):  # of a user whose home this one has no access to
            names = sorted(os.listdir(home))  # noqa: PTH208 - a Path for each costs more
        for path in (Path(home, name) for name in names if name.endswith(".pth")):
            with suppress(OSError):
                lines = [x for x in path.read_bytes().splitlines() if x.startswith(b"import")]
                if lines and not path.name.startswith(("_virtualenv", "__editable__")):
                    digest.update(repr([path.name, lines]).encode())
    for name in ("sitecustomize", "usercustomize"):
        with suppress(OSError):
            digest.update(Path(getattr(sys.modules.get(name), "__file__", None) or os.devnull).read_bytes())
    return f"files {digest.hexdigest()}"


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable", False):
        return True
    # Metadata that stands beside a project's own source: an older kind of editable install.
    return is_project_file(str(distribution.locate_file("metadata")))


def _own_source() -> str:
    """Return the digest of Crystallize's source, however it is installed."""
    digest = blake2b(digest_size=8)
    package = Path(__file__).parents[1]
    for home in (package, package.with_name("pytest_crystallize")):
        for name, path in sorted(_sources(str(home), home.name)):
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs more
                source = file.read()
            digest.update(b"%s:%d:" % (name.encode(), len(source)))
            digest.update(source)
    return f"files {digest.hexdigest()}"


def _sources(directory: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of each file of source in a directory and those in it."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path, f"{name}/{entry.name}")
            elif entry.name.endswith(".py"):
                yield f"{name}/{entry.name}", entry.path


def _threads() -> str:
    """Return on how many threads numeric libraries compute, by which the last bits of a sum may change."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return " ".join(f"{name}={os.environ.get(name, f'unset of {cores()}')}" for name in names)


def processor() -> str:
    """Return the model of the processor, since numeric libraries choose their code by it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            for line in lines:
                name, _, model = line.partition(":")
                if name.strip() == "model name":
                    return model.strip()
    except OSError:
        pass  # not Linux
    return platform.processor()
