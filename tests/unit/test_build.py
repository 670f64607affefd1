"""The commit that an installation is of, as git, an image and an archive keep it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import vms
from vms.build import commit


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit."""
    at = tmp_path / "clone"
    git(tmp_path, "init", "-q", str(at))
    (at / "file").write_text("1")
    git(at, "add", "file")
    git(at, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return at


def git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_what_git_says_however_git_keeps_it(clone: Path, tmp_path: Path) -> None:
    told = git(clone, "rev-parse", "HEAD")[:9]
    assert commit(clone) == told
    git(clone, "pack-refs", "--all")
    assert not (clone / ".git" / git(clone, "symbolic-ref", "HEAD")).exists()
    assert commit(clone) == told
    git(clone, "worktree", "add", "-q", "--detach", str(tmp_path / "more"))
    assert commit(tmp_path / "more") == told
    git(clone, "checkout", "-q", "--detach")
    assert commit(clone) == told


def test_without_git_there_is_none(tmp_path: Path) -> None:
    assert commit(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    assert commit(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/gone")
    assert commit(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_text("not a commit")
    assert commit(tmp_path) == ""


def test_the_version_has_it() -> None:
    assert vms.__version__.partition("+")[0] == "0.1.0"
    assert vms.__version__.partition("+")[2] == commit(Path(vms.__file__).resolve().parents[2])
