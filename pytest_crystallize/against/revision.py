"""Another commit of the user's repository: which one was asked for, and a worktree of its own for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crystallize.seam import Locks, short_commit
from pytest_crystallize.against.remap import moved

MERGE_BASE: Final = "merge-base:"
KEPT: Final = 3
"""How many worktrees of other commits are kept, those that were used last."""
_OF_HOOKS: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")
"""What git tells hooks of the repository that they are run for; it would be taken for that of a worktree."""


class RevisionError(Exception):
    """A commit that can't be had, or can't be checked out; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit that is checked out beside the user's own checkout.

    Attributes
    ----------
    name : str
        What was asked for.
    commit : str
        The whole name of the commit.
    top : str
        Directory of the user's checkout.
    tree : str
        Directory of the commit's worktree.
    linked : tuple of str
        What in it is linked to the user's checkout, relative to both.
    """

    name: str
    commit: str
    top: str
    tree: str
    linked: tuple[str, ...] = ()

    def there(self, path: str | os.PathLike[str]) -> str | None:
        """Return what a path of the user's checkout is in the worktree; None of a path outside."""
        return moved(path, self.top, self.tree)


def git(directory: str | os.PathLike[str], *arguments: str) -> str:
    """Run git without the user's hooks, and return what it says.

    Raises
    ------
    RevisionError
        If it fails, with what it says of that.
    """
    command = ["git", "-c", f"core.hooksPath={os.devnull}", *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except OSError as error:
        raise RevisionError(f"git can't be run: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise RevisionError(f"git {arguments[0]}: {said}")
    return done.stdout.rstrip("\n")


def resolved(root: Path, asked: str) -> tuple[str, str]:
    """Return the top directory of the repository that a directory is in, and the commit that is asked for.

    Parameters
    ----------
    root : Path
        In the user's checkout.
    asked : str
        Branch, tag or commit; or ``merge-base:`` and one, for where what is checked out branched off it.

    Raises
    ------
    RevisionError
        If there is no such commit here.
    """
    try:
        top = os.path.realpath(git(root, "rev-parse", "--show-toplevel"))
    except RevisionError as fault:
        raise RevisionError(f"{root} is in no git repository with a checkout ({fault})") from fault
    name = asked.removeprefix(MERGE_BASE)
    if not name or name.startswith("-"):
        raise RevisionError(f"{name!r} names no commit; give a branch, a tag or a commit")
    shallow = git(top, "rev-parse", "--is-shallow-repository") == "true"
    if shallow and name != asked:
        raise RevisionError(
            "this clone is shallow, and where two branches parted is known from their whole history; run "
            "git fetch --unshallow origin (on GitHub: actions/checkout with fetch-depth: 0), or name the "
            "commit itself"
        )
    try:
        commit = git(top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except RevisionError as fault:
        raise RevisionError(_missing(top, asked, shallow=shallow)) from fault
    if name == asked:
        return top, commit
    try:
        return top, git(top, "merge-base", "HEAD", commit)
    except RevisionError as fault:
        raise RevisionError(f"HEAD and {name!r} have no commit in common") from fault


def _missing(top: str, asked: str, *, shallow: bool) -> str:
    """Say that a commit is not here, and how it is had; the same is to be asked of it then."""
    name = asked.removeprefix(MERGE_BASE)
    before = asked.removesuffix(name)
    remote, _, branch = name.partition("/")
    with suppress(RevisionError):
        if remote not in git(top, "remote").split() or not branch:
            remote, branch = "origin", name
        git(top, "rev-parse", "--verify", "--quiet", f"{remote}/{branch}^{{commit}}")
        return f"there is no commit {name!r} here, but {remote}/{branch} is; give {before}{remote}/{branch}"
    depth, why = ("--depth=1 ", ", which is shallow,") if shallow else ("", "")
    if re.fullmatch("[0-9a-f]{40,64}", name):
        return f"this clone{why} has no commit {name!r}; fetch it: git fetch {depth}origin {name}"
    fetch = f"git fetch {depth}{remote} {branch}:refs/remotes/{remote}/{branch}"
    return f"this clone{why} has no commit {name!r}; fetch it: {fetch}, then give {before}{remote}/{branch}"


class Worktrees:
    """Worktrees of commits, kept in a directory from session to session; each is one session's at a time.

    Parameters
    ----------
    directory : Path
        Where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._leases: list[Locks] = []

    def checkout(self, root: Path, asked: str, link: Sequence[str] = ()) -> Checkout:
        """Return a clean worktree of a commit, which no other session uses.

        Parameters
        ----------
        root : Path
            In the user's checkout.
        asked : str
            As in `resolved`.
        link : sequence of str
            Paths, relative to `root`, that the worktree is to have although git does not track them.

        Raises
        ------
        RevisionError
            If there is none.
        """
        top, commit = resolved(root, asked)
        tree = self._directory
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            tree = self._leased(commit)
            self._make(top, tree, commit)
            found = Checkout(asked, commit, top, os.path.realpath(tree))
            linked = tuple(each for path in link if (each := _link(found, root, path)) is not None)
        except OSError as error:
            raise RevisionError(f"{tree} can't be made: {error}") from error
        self._prune(top, tree)
        return Checkout(found.name, found.commit, found.top, found.tree, linked)

    def close(self) -> None:
        """Leave the worktrees to other sessions."""
        for lease in self._leases:
            lease.close()
        self._leases.clear()

    def _leased(self, commit: str) -> Path:
        """Return the first directory for a commit that no other session holds, and hold it."""
        number = 0
        while True:
            name = short_commit(commit) + (f"-{number}" if number else "")
            lease = self._lease(name)
            if lease is not None:
                self._leases.append(lease)
                os.utime(self._lock_file(name))
                return self._directory / name
            number += 1

    def _lock_file(self, name: str) -> Path:
        return self._directory / f"{name}.lock"

    def _lease(self, name: str) -> Locks | None:
        lease = Locks(self._lock_file(name))
        if lease.acquire(0, wait=False):
            return lease
        lease.close()
        return None

    def _make(self, top: str, tree: Path, commit: str) -> None:
        """Have a directory be a clean worktree of a commit."""
        if tree.exists() and not _is_clean(tree, commit):
            _remove(top, tree)
        if not tree.exists():
            # Forced, since the entry of one that was deleted may be left; it says nothing of other worktrees.
            git(top, "worktree", "add", "--force", "--detach", "--quiet", str(tree), commit)
        if (tree / ".gitmodules").is_file():
            git(tree, "submodule", "update", "--init", "--recursive", "--quiet")

    def _prune(self, top: str, used: Path) -> None:
        """Remove worktrees that no session uses, but for those that were used last."""
        locks = sorted(self._directory.glob("*.lock"), key=_last_use, reverse=True)
        for lock in [path for path in locks if path.stem != used.name][KEPT:]:
            lease = self._lease(lock.stem)
            if lease is not None:
                _remove(top, lock.with_suffix(""))
                lock.unlink(missing_ok=True)
                lease.close()


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another session has removed it
        return time.time()


def _is_clean(tree: Path, commit: str) -> bool:
    """Remove what earlier runs have left in a worktree; return whether it is that of the commit then."""
    try:
        if os.path.realpath(git(tree, "rev-parse", "--show-toplevel")) != os.path.realpath(tree):
            return False  # what is left of a worktree lies in the user's checkout
        git(tree, "clean", "-ffdxq", "--exclude=__pycache__")
        if any(line[:1].islower() for line in git(tree, "ls-files", "-v").split("\n")):
            return False  # files that git was told to take for unchanged, whatever they hold
        changed = git(tree, "status", "--porcelain", "--untracked-files=no")
        return git(tree, "rev-parse", "HEAD") == commit and not changed
    except RevisionError:
        return False


def _remove(top: str, tree: Path) -> None:
    """Remove a worktree, and what git knows of it."""
    with suppress(RevisionError):  # it may be no worktree any more; twice, since it may have submodules
        git(top, "worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)


def _link(checkout: Checkout, root: Path, path: str) -> str | None:
    """Have the worktree share what git does not track; return where, or None if the commit has it itself."""
    source = root / path
    place = checkout.there(source.parent)
    if place is None or not source.exists():
        why = "is not there" if place is not None else "lies outside of the repository"
        raise RevisionError(f"crystallize_against_link names {path!r}, but {source} {why}")
    target = Path(place, source.name)
    if os.path.lexists(target):
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.absolute(), target_is_directory=source.is_dir())
    return os.path.relpath(target, checkout.tree)
