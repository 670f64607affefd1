"""`vms upgrade` in a clone of its own: forward by a new migration, killed anywhere, refused, and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from vms.catalogue import migrate
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.restoring import running_server
from vms.stack import postgres as server
from vms.stack.airflow_env import owner_url

FAULTY = (
    "vms.stack.launch:stop",
    "vms.stack.program:Program.take",
    "vms.stack.upgrading:migrate_all",
    "vms.catalogue.migrate:_migrate",
    "vms.catalogue.migrate:_grant",
    "vms.stack.upgrade_journal:end",
)
"""In the order in which the command comes by."""

PARTS = ("include", "plugins", "dags", "viewer", "vms", "requirements.txt")
MIGRATION = '''"""A new table."""
from alembic import op
revision = "{new}"
down_revision = "{old}"
def upgrade() -> None:
    op.execute("CREATE TABLE came_later_{new} (what text)")
'''


@dataclass(frozen=True)
class Released:
    commit: str
    revision: str


@dataclass(frozen=True)
class Clone:
    """An installation in a clone, and the repository that it follows."""

    folder: Path
    root: Path
    origin: Path
    environ: dict[str, str]

    @property
    def home(self) -> Home:
        return from_environment({"VMS_HOME": self.environ["VMS_HOME"], "VMS_SITES": self.environ["VMS_SITES"]})

    def vms(self, *words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        """fault: at which function it is to be killed, as module:function."""
        return subprocess.run(
            [self.root / "vms", *words],
            cwd=self.root,
            env=self.environ | {"VMS_TEST_FAULT": fault},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def git(self, *words: str, where: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=where or self.root, env=self.environ, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    def release(self, *, migration: str = MIGRATION) -> Released:
        """A new version appears in the repository. migration: "" for none."""
        versions = self.origin / "include/vms/catalogue/migrations/versions"
        later = [path.name[1:5] for path in versions.glob("v9*.py")]
        old = max(later, default=migrate.newest())
        new = str(int(max(later, default="9000")) + 1)
        if migration:
            (versions / f"v{new}_later.py").write_text(migration.format(new=new, old=old))
        with (self.origin / "requirements.txt").open("a") as file:
            file.write("# newer\n")
        return Released(self.commit(), new)

    def commit(self) -> str:
        """What was changed in the repository is a version."""
        self.git("add", "-A", where=self.origin)
        self.git("commit", "-q", "-m", "newer", where=self.origin)
        return self.git("rev-parse", "HEAD", where=self.origin)

    def ask(self, query: str) -> list[tuple[object, ...]]:
        with closing(psycopg2.connect(owner_url(self.home))) as conn, conn, conn.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def revision(self) -> str:
        return str(self.ask("SELECT version_num FROM alembic_version")[0][0])

    def installs(self) -> int:
        log = self.folder / "installs"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def dumps(self) -> list[Path]:
        return sorted(self.home.backups.glob("*.dump"))


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    """One for all tests here, which each begin where the one before left it; its database server runs throughout."""
    if not shutil.which("git"):
        pytest.skip("there is no git here")
    folder = Path(tempfile.mkdtemp(prefix="vms-test-"))
    folder.chmod(0o755)  # the account that the server drops to must get through
    made = _made(folder)
    try:
        with running_server(made.home):
            _catalogue(made.home)
            yield made
    finally:
        shutil.rmtree(folder)


def test_forward_by_one_command_killed_anywhere_and_back(clone: Clone) -> None:
    before = clone.git("rev-parse", "HEAD")
    new = clone.release()
    for number, fault in enumerate(FAULTY, 1):
        killed = clone.vms("upgrade", "--no-start", fault=fault)
        assert killed.returncode in (-9, 137), f"{fault}: {killed.stdout}{killed.stderr}"
        assert (clone.home.run / "upgrade.json").exists(), fault
        assert clone.git("rev-parse", "HEAD") == (before if number <= 2 else new.commit), fault
    done = clone.vms("upgrade", "--no-start")

    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (new.revision, new.commit)
    assert clone.git("branch", "--show-current") == "main"
    assert clone.installs() == 1, "what the new version pins is installed once, by its own launcher"
    (dump,) = clone.dumps()
    assert json.loads(dump.with_suffix(".json").read_text())["revision"] == migrate.newest(), "from before, and one"
    assert clone.ask("SELECT reason FROM hold") == [("case 12",)]
    assert not (clone.home.run / "upgrade.json").exists()

    clone.ask("UPDATE hold SET released_at = now(), released_by = 'x', release_reason = 'y' RETURNING 1")
    refused = clone.vms("upgrade", "--back", "--no-start")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True), "nobody said yes"
    assert clone.revision() == new.revision
    back = clone.vms("upgrade", "--back", "--yes", "--no-start")
    assert back.returncode == 0, back.stdout + back.stderr
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (migrate.newest(), before)
    assert clone.git("branch", "--show-current") == "main", "the next upgrade goes forward again"
    assert clone.ask("SELECT reason, released_by FROM hold") == [("case 12", None)]
    assert len(clone.dumps()) == 2, "what was there is backed up, too"


def test_a_migration_that_fails_says_how_to_go_on_and_back(clone: Clone) -> None:
    before, found = clone.git("rev-parse", "HEAD"), clone.revision()
    clone.release(migration=MIGRATION.replace("CREATE TABLE", "CREATE TABEL"))

    done = clone.vms("upgrade", "--no-start")
    assert done.returncode == 1
    assert "./vms upgrade --back" in done.stderr
    back = clone.vms("upgrade", "--back", "--yes", "--no-start")
    assert back.returncode == 0, back.stdout + back.stderr
    assert (clone.revision(), clone.git("rev-parse", "HEAD")) == (found, before)
    clone.git("reset", "-q", "--hard", "HEAD~1", where=clone.origin)


def test_refused_before_anything_is_done(clone: Clone) -> None:
    clone.git("tag", "v1", before := clone.git("rev-parse", "HEAD"), where=clone.origin)
    new = clone.release()
    assert clone.vms("upgrade", "--no-start", "--to", new.commit[:12]).returncode == 0
    assert (clone.git("branch", "--show-current"), before != new.commit) == ("", True)
    known = len(clone.dumps())
    said = "No branch is checked out"
    _refused(clone, said)
    _refused(clone, f"newer ({new.revision}) than v1", "--to", "v1")
    _refused(clone, "no version v7", "--to", "v7")
    _refused(clone, "only one of", "--to", "v1", "--here")
    clone.git("switch", "-q", "main")
    clone.git("merge", "-q", "--ff-only", new.commit)
    (clone.root / "vms").write_text((clone.root / "vms").read_text() + "# mine\n")
    _refused(clone, "were changed here: vms")
    clone.git("checkout", "-q", "--", "vms")
    clone.git("commit", "-q", "--allow-empty", "-m", "mine")
    clone.release(migration="")
    _refused(clone, "has commits that origin/main has not")
    clone.origin.rename(clone.folder / "away")
    _refused(clone, "--here")
    assert (len(clone.dumps()), clone.revision()) == (known, new.revision)


def _refused(clone: Clone, told: str, *words: str) -> None:
    done = clone.vms("upgrade", "--no-start", *words)
    assert done.returncode != 0, done.stdout
    assert told in " ".join(done.stderr.split()), done.stderr
    assert not (clone.home.run / "upgrade.json").exists()


def _made(folder: Path) -> Clone:
    """A repository with this program, a clone of it, and a home with a catalogue that knows of a hold."""
    origin, root, venv = folder / "origin", folder / "a clone", folder / "venv"
    origin.mkdir()
    for name in PARTS:
        here = PROJECT_ROOT / name
        copy = shutil.copytree if here.is_dir() else shutil.copy
        copy(here, origin / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if here.is_dir() else {}))
    (origin / ".gitignore").write_text("__pycache__/\n.vms/\n")
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW", "GIT_"))}
    person = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@x",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@x",
    }
    clone = Clone(
        folder,
        root,
        origin,
        keep
        | person
        | {"VMS_HOME": str(folder / "home"), "VMS_SITES": str(folder / "sites.yaml"), "VMS_VENV": str(venv)}
        | {"GIT_CONFIG_GLOBAL": "/dev/null"},
    )
    clone.git("init", "-q", "-b", "main", where=origin)
    clone.git("add", "-A", where=origin)
    clone.git("commit", "-q", "-m", "first", where=origin)
    clone.git("clone", "-q", str(origin), str(root), where=folder)
    _environment(venv, clone)
    (folder / "sites.yaml").write_text("stores: {}\nsites: []\n")
    clone.home.prepare()
    return clone


def _catalogue(home: Home) -> None:
    """That knows of a hold."""
    server.prepare_databases(home)
    migrate.upgrade(owner_url(home))
    with closing(psycopg2.connect(owner_url(home))) as conn, conn, conn.cursor() as cursor:
        cursor.execute(
            "INSERT INTO hold (from_at, to_at, reason, who, made_at) VALUES"
            " ('2026-11-24T08:00Z', '2026-11-24T09:00Z', 'case 12', 'sari', now())"
        )


def _environment(venv: Path, clone: Clone) -> None:
    """A virtual environment over the packages of this one, whose installer only notes that it was called. Airflow's own
    database is left out: its tables take a minute."""
    packages = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    real = Path(sys.executable).parent.parent / "pyvenv.cfg"
    shutil.copy(real, venv) if real.exists() else (venv / "pyvenv.cfg").write_text("version = 3\n")
    (packages / "real.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    (packages / "sitecustomize.py").write_text(FAULTS)
    (venv / "bin" / "uv").write_text(f"#!/bin/sh\necho install >>'{clone.folder}/installs'\n")
    (venv / "bin" / "uv").chmod(0o755)
    stamp = subprocess.run(["sh", "-c", STAMP, "sh", venv], cwd=clone.root, capture_output=True, check=True).stdout
    (venv / ".requirements.stamp").write_bytes(stamp)


STAMP = (
    """printf '%s %s\\n' "$(cksum <requirements.txt | tr -d ' ')" "$(sed -n 's/^version *= *//p' "$1/pyvenv.cfg")" """
)
FAULTS = '''
"""Kills the process at the function that VMS_TEST_FAULT names, as it is called; leaves Airflow's database alone."""
import importlib.abc, importlib.machinery, os, signal, sys

MODULE, _, NAME = os.environ.get("VMS_TEST_FAULT", "").partition(":")

def changed(module):
    if module.__name__ == "vms.stack.launch":
        module.airflow_is_old = lambda home: False
    if module.__name__ == MODULE:
        *owner, last = NAME.split(".")
        for one in owner:
            module = getattr(module, one)
        setattr(module, last, lambda *_a, **_k: os.kill(os.getpid(), signal.SIGKILL))

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in ("vms.stack.launch", MODULE):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            changed(module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
'''
