"""The program's own files as a git clone: which version it is, and bringing another one in its place.

Nothing here ever merges, or throws away what somebody changed: what is not a plain step forward is refused.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vms.errors import StackError
from vms.home import PROJECT_ROOT

_MIGRATIONS = "include/vms/catalogue/migrations/versions"
_COMMAND = "include/vms/cli/upgrade.py"
FETCH_S = 600.0


@dataclass(frozen=True)
class Version:
    """One state of the program. commit: its full name; label: as people call it; revisions: which schemas it knows;
    upgrades: whether it has the command `upgrade`."""

    commit: str
    label: str
    revisions: frozenset[str]
    upgrades: bool


class Program:
    """The clone in this folder."""

    def __init__(self, root: Path = PROJECT_ROOT) -> None:
        self.root = root

    @property
    def is_clone(self) -> bool:
        return (self.root / ".git").exists()

    def here(self) -> str:
        """The commit that is checked out; "" outside of a clone, or when git does not say."""
        try:
            return self._git("rev-parse", "HEAD") if self.is_clone else ""
        except StackError:
            return ""

    def branch(self) -> str:
        """The branch that is checked out; "" for none."""
        return self._git("branch", "--show-current")

    def newer(self, to: str) -> Version:
        """Fetch, and find the version to go to: the named one, else the newest of this branch. Changes no file of the
        program. Raises StackError when it can't be reached by a plain step."""
        if changed := self._git("status", "--porcelain", "--untracked-files=no"):
            names = ", ".join(line[2:].strip() for line in changed.splitlines()[:5])
            raise StackError(
                f"Files of the program were changed here: {names}.",
                "Put them back (git stash), or bring the new version in yourself and give --here.",
            )
        if self._git("remote"):
            self._git("fetch", "--quiet", "--tags", timeout_s=FETCH_S)
        if to:
            found = self._asked(to)
            return self._version(found, to)
        branch = self.branch()
        upstream = self._quietly("rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}") if branch else ""
        if not upstream:
            where = f"The branch {branch} follows no other" if branch else "No branch is checked out"
            raise StackError(f"{where}, so what is newer is not known.", "Name the version: --to TAG; or give --here.")
        commit = self._git("rev-parse", upstream)
        if self._quietly("merge-base", "--is-ancestor", commit, "HEAD") is not None:
            commit = self._git("rev-parse", "HEAD")  # what is here is that, or newer
        elif self._quietly("merge-base", "--is-ancestor", "HEAD", commit) is None:
            raise StackError(
                f"The branch {branch} has commits that {upstream} has not.",
                "Bring both together yourself (git rebase), then give --here.",
            )
        return self._version(commit, upstream)

    def take(self, commit: str, *, named: bool) -> None:
        """Put the files of this version in place. named: it was asked for by name, so no branch follows it."""
        if named:
            self._git("checkout", "--quiet", "--detach", commit)
        else:
            self._git("merge", "--quiet", "--ff-only", commit)

    def go_back(self, commit: str, branch: str) -> None:
        """To a commit that was checked out before, on its branch; changed files are kept or refused."""
        self._git("checkout", "--quiet", branch or commit)
        self._git("reset", "--quiet", "--keep", commit)

    def _asked(self, name: str) -> str:
        for one in (name, f"origin/{name}"):
            if found := self._quietly("rev-parse", "--verify", "--quiet", "--end-of-options", f"{one}^{{commit}}"):
                return found
        raise StackError(f"There is no version {name}.", "git tag --list names those that there are.")

    def _version(self, commit: str, label: str) -> Version:
        listed = self._git("ls-tree", "--name-only", commit, f"{_MIGRATIONS}/").splitlines()
        names = [Path(one).name for one in listed if one.endswith(".py")]
        revisions = frozenset(name[1:].split("_", 1)[0] for name in names if name.startswith("v"))
        return Version(commit, label, revisions, bool(self._git("ls-tree", "--name-only", commit, _COMMAND)))

    def _quietly(self, *words: str) -> str | None:
        """What git says; None when it says no."""
        try:
            return self._git(*words)
        except StackError:
            return None

    def _git(self, *words: str, timeout_s: float = 60.0) -> str:
        try:
            done = subprocess.run(
                ("git", *words),
                cwd=self.root,
                env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackError(f"git {words[0]} did not work ({error}).", "Give --here to take what is there.") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise StackError(
                f"git {words[0]}: {said[-1]}",
                "Mend that; or bring the new version in yourself and give --here.",
            )
        return done.stdout.strip()
