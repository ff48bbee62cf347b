"""What code is, as it is now in memory: a digest that changes with everything that it would do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from crystallize.identity.origin import Roots, real_directory
from crystallize.identity.reach import Reach


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identity of code and of all of the project that it reaches.

    Attributes
    ----------
    digest : str
        64 hexadecimal digits.
    parts : Mapping of str to str
        Qualified name of each function, class and variable -> short digest of what it says itself.
    """

    digest: str
    parts: Mapping[str, str]


def fingerprint(
    target: object, *, name: str, project_roots: Iterable[str | os.PathLike[str]] = ()
) -> Fingerprint:
    """Return the fingerprint of a function, a class, or an instance with its class.

    It is made of live bytecode and live values: of functions (with constants, defaults, closures,
    annotations, docstrings and attributes), classes (bases, metaclass, methods and all other attributes), and
    the variables of modules that these name, transitively. Comments, layout and line numbers do not count,
    nor does where the project lies. What is installed counts by its name: `environment` says which version
    it is.

    Fingerprints compare within one way of loading: optimization (``-O``) and pytest's assertion rewriting
    change the bytecode.

    It can't see: what statements did when a module was loaded, unless it is in what the code reaches
    (`set_up_by` tells of that); environment variables and files; classes that the code meets only in its
    data, which `stable_hash` hands out. A module that is used as a value counts as a whole, and so does one
    whose class the project made, where a name is that class's. What a `functools.cached_property` has stored
    counts as any attribute does.

    Parameters
    ----------
    target : object
        What is run.
    name : str
        What messages and `parts` call it, if it has no name of its own.
    project_roots : iterable of path, optional
        Directories whose code counts even where packages are installed. Otherwise the code that counts is
        all that is outside the standard library and the directories of installed packages.

    Raises
    ------
    FingerprintError
        If a part can't be fingerprinted (compiled code of the project, open files, generators, code made
        from text at run time); the message says which, and why.

    Notes
    -----
    The modules that a function of the project imports when it runs are imported now, if they are the
    project's. The bytecode of each function is read once in a process, so that to compute a fingerprint again
    takes a fraction of the time: do so before a result is stored, since code may change its own globals.
    """
    return found_by(Reach(name, spellings(project_roots)), target)


def spellings(roots: Iterable[str | os.PathLike[str]]) -> Roots:
    """Return directories as they are and as real paths."""
    given = [os.path.abspath(root) for root in roots]  # noqa: PTH100 - links are kept
    return tuple(dict.fromkeys(path for root in given for path in (root, real_directory(root))))


def found_by(reach: Reach, target: object) -> Fingerprint:
    """Return the fingerprint of what a reach finds that has found nothing yet."""
    total = blake2b(reach.explore(target), digest_size=32)
    for label in sorted(reach.digests):
        encoded = label.encode("utf-8", "surrogatepass")
        total.update(b"%d:%s%s" % (len(encoded), encoded, reach.digests[label]))
    return Fingerprint(total.hexdigest(), {label: part.hex()[:16] for label, part in reach.digests.items()})


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Say what differs between the parts of two fingerprints, such as ``helpers.clean changed``."""
    both = sorted(old.keys() & new.keys())
    said = [f"{_what(label)} changed" for label in both if old[label] != new[label]]
    said += [f"{label} is new" for label in sorted(new.keys() - old.keys())]
    return said + [f"{label} is gone" for label in sorted(old.keys() - new.keys())]


def _what(label: str) -> str:
    """Return a part as it is told: of a variable that code may fill, it is the contents that change."""
    module, _, name = label.rpartition(".")
    value = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    return f"what {label} holds" if isinstance(value, dict | list | set) else label
