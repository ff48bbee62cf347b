"""Worktrees of other commits: which one is asked for, and what becomes of the user's own checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_crystallize.against.revision import KEPT, RevisionError, Worktrees, resolved


def git(directory, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def committed(directory, text):
    """Commit a file of this text; return the commit."""
    (directory / "code.py").write_text(text)
    git(directory, "add", "code.py")
    git(directory, "commit", "-qm", text)
    return git(directory, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Make a repository with two commits and a hook; something is staged, stashed and edited."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    top = tmp_path / "top"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    committed(top, "one")
    git(top, "tag", "v1")
    (top / "code.py").write_text("stashed")
    git(top, "stash")
    committed(top, "two")
    hook = top / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho hooked >> {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (top / "staged.py").write_text("staged")
    git(top, "add", "staged.py")
    (top / "code.py").write_text("edited")
    return top


def state(top):
    """Return all that is the user's."""
    seen = git(top, "status", "--porcelain"), git(top, "stash", "list"), git(top, "branch", "-v")
    return *seen, (top / "code.py").read_text(), (top / ".git" / "index").read_bytes()


def test_a_worktree_is_made_used_again_and_leaves_the_users_checkout_alone(repository, tmp_path):
    """What a run has left in it is gone the next time; an edited file has it be made anew."""
    before, trees = state(repository), tmp_path / "trees"
    for left in (None, "untracked.py", "code.py"):
        worktrees = Worktrees(trees)
        made = worktrees.checkout(repository, "v1")
        tree = trees / made.commit[:12]
        assert made.tree == os.path.realpath(tree)
        assert made.commit == git(repository, "rev-parse", "v1")
        assert [path.name for path in tree.glob("*.py")] == ["code.py"]
        assert (tree / "code.py").read_text() == "one"
        if left is not None:
            (tree / left).write_text("left")
        worktrees.close()
    assert state(repository) == before
    assert not (tmp_path / "hooked").exists()


def test_paths_are_mapped(repository, tmp_path):
    """What is outside of the repository is in no worktree."""
    made = Worktrees(tmp_path / "trees").checkout(repository, "v1")
    assert made.there(repository / "src" / "a.py") == str(Path(made.tree, "src", "a.py"))
    assert made.there(repository) == made.tree
    assert made.there(tmp_path / "topmost") is None


def test_what_git_does_not_track_is_linked(repository, tmp_path):
    """But what the commit has itself is its own, and what is not there is an error."""
    (repository / "data").mkdir()
    (repository / "data" / "a.csv").write_text("1")
    worktrees = Worktrees(tmp_path / "trees")
    for _ in range(2):
        made = worktrees.checkout(repository, "v1", ["data/", "code.py"])
        tree = tmp_path / "trees" / made.commit[:12]
        assert made.linked == ("data",)
        assert (tree / "data" / "a.csv").read_text() == "1"
        assert (tree / "code.py").read_text() == "one"
        worktrees.close()
    with pytest.raises(RevisionError, match=r"crystallize_against_link names 'models', but .* is not there"):
        worktrees.checkout(repository, "v1", ["models"])


@pytest.mark.slow
def test_each_session_has_a_worktree_of_its_own_and_old_ones_go(repository, tmp_path):
    """What another process holds is left to it; of those that nobody uses some are kept."""
    trees = tmp_path / "trees"
    holding = "import sys; from crystallize.seam import Locks; from pathlib import Path\n"
    holding += "lock = Locks(Path(sys.argv[1])); assert lock.acquire(0, wait=False); print(); input()"
    commits = [git(repository, "rev-parse", name) for name in ("v1", "main")]
    trees.mkdir()
    lock = trees / f"{commits[0][:12]}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        made = Worktrees(trees).checkout(repository, "v1")
        assert made.tree.endswith(f"{commits[0][:12]}-1")
        other.communicate("\n")
    git(repository, "checkout", "-qf", "main")
    commits += [committed(repository, f"more {number}") for number in range(KEPT)]
    for number, commit in enumerate(commits):
        worktrees = Worktrees(trees)
        worktrees.checkout(repository, commit)
        worktrees.close()
        os.utime(trees / f"{commit[:12]}.lock", (number, number))
    kept = {path.name for path in trees.iterdir() if path.is_dir()}
    assert kept >= {commit[:12] for commit in commits[-2:]}
    assert len(kept) == KEPT + 1
    listed = git(repository, "worktree", "list").splitlines()
    assert len(listed) == KEPT + 2


@pytest.mark.slow
def test_a_deleted_worktree_is_made_again(repository, tmp_path):
    """Though git remembers it; it may also have belonged to another clone."""
    worktrees = Worktrees(tmp_path / "trees")
    tree = tmp_path / "trees" / worktrees.checkout(repository, "v1").commit[:12]
    worktrees.close()
    for spoil in (tree / "code.py", tree / ".git"):
        spoil.unlink()
        worktrees.checkout(repository, "v1")
        assert (tree / "code.py").read_text() == "one"
        worktrees.close()
    (tree / ".git").write_text("gitdir: /nowhere\n")
    worktrees.checkout(repository, "v1")
    assert git(tree, "rev-parse", "HEAD") == git(repository, "rev-parse", "v1")
    assert (repository / "code.py").read_text() == "edited"


def test_the_commit_where_a_branch_began(repository):
    """It is asked for by the name of the other branch."""
    git(repository, "checkout", "-qfb", "topic", "main")
    parted = committed(repository, "three")
    git(repository, "checkout", "-qf", "main")
    ahead = committed(repository, "four")
    git(repository, "checkout", "-q", "topic")
    assert resolved(repository, "main")[1] == ahead
    assert resolved(repository, "merge-base:main")[1] == git(repository, "rev-parse", f"{parted}~")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nowhere", "no commit 'nowhere'; fetch it: git fetch origin nowhere:refs/remotes/origin/nowhere"),
        ("nowhere", "refs/remotes/origin/nowhere, then give origin/nowhere"),
        ("merge-base:nowhere", "refs/remotes/origin/nowhere, then give merge-base:origin/nowhere"),
        ("f" * 40, f"no commit '{'f' * 40}'; fetch it: git fetch origin {'f' * 40}"),
        ("--all", "'--all' names no commit"),
        ("merge-base:", "'' names no commit"),
        ("", "'' names no commit"),
    ],
)
def test_a_commit_that_is_not_there(repository, asked, said):
    """The error says how it is had."""
    with pytest.raises(RevisionError) as raised:
        resolved(repository, asked)
    assert said in str(raised.value)


@pytest.mark.parametrize("before", ["", "merge-base:"])
def test_a_branch_that_only_the_remote_has_is_asked_for_in_the_same_way(repository, before):
    """Where the branch began is another commit than its last."""
    git(repository, "update-ref", "refs/remotes/origin/release", "main")
    with pytest.raises(RevisionError, match=f"but origin/release is; give {before}origin/release"):
        resolved(repository, f"{before}release")


def test_no_commit_in_common_and_no_repository(repository, tmp_path):
    """Each has its own words."""
    git(repository, "checkout", "-qf", "--orphan", "alone")
    committed(repository, "alone")
    with pytest.raises(RevisionError, match="HEAD and 'main' have no commit in common"):
        resolved(repository, "merge-base:main")
    with pytest.raises(RevisionError, match="is in no git repository"):
        resolved(tmp_path, "main")


@pytest.mark.slow
def test_a_shallow_clone_says_what_to_fetch(repository, tmp_path):
    """What it says works; where branches parted can't be told from a part of their history."""
    git(repository, "checkout", "-qfb", "topic")
    committed(repository, "three")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=topic", f"file://{repository}", str(clone))
    with pytest.raises(RevisionError, match="git fetch --unshallow"):
        resolved(clone, "merge-base:origin/topic")
    for name in ("main", "origin/main"):
        with pytest.raises(RevisionError) as raised:
            resolved(clone, name)
        assert "this clone, which is shallow, has no commit" in str(raised.value)
        command = str(raised.value).partition("fetch it: git ")[2].partition(", then")[0]
    git(clone, *command.split())
    assert resolved(clone, "origin/main")[1] == git(repository, "rev-parse", "main")
    with pytest.raises(RevisionError, match="no commit 'main' here, but origin/main is"):
        resolved(clone, "main")


@pytest.mark.slow
def test_submodules_are_there(repository, tmp_path, monkeypatch):
    """Those of the commit, at what it says."""
    for number, (key, value) in enumerate({"protocol.file.allow": "always"}.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    part = tmp_path / "part"
    part.mkdir()
    git(part, "init", "-q")
    committed(part, "of the module")
    git(repository, "submodule", "add", "-q", str(part), "part")
    git(repository, "commit", "-qm", "with a module")
    for _ in range(2):
        worktrees = Worktrees(tmp_path / "trees")
        tree = worktrees.checkout(repository, "main").tree
        assert (tmp_path / "trees" / Path(tree).name / "part" / "code.py").exists()
        (tmp_path / "trees" / Path(tree).name / "part" / "code.py").write_text("spoilt")
        worktrees.close()
    Worktrees(tmp_path / "trees").checkout(repository, "main")
    assert (tmp_path / "trees" / Path(tree).name / "part" / "code.py").read_text() == "of the module"


def test_a_file_that_git_was_told_to_take_for_unchanged_is_checked_out_again(repository, tmp_path):
    """What is run has to be what was committed."""
    trees = Worktrees(tmp_path / "trees")
    tree = Path(trees.checkout(repository, "HEAD").tree)
    trees.close()
    name = git(tree, "ls-files").split()[0]
    committed = (tree / name).read_bytes()
    git(tree, "update-index", "--assume-unchanged", name)
    (tree / name).write_bytes(b"else")
    trees.checkout(repository, "HEAD")
    trees.close()
    assert (tree / name).read_bytes() == committed
