"""A clone of the program with a home and a virtual environment of its own, as an operator has it, for upgrades."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from vms.catalogue import migrate
from vms.home import PROJECT_ROOT, Home, from_environment
from vms.stack.airflow_env import owner_url

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
        return from_environment({name: value for name, value in self.environ.items() if name.startswith("VMS_")})

    def vms(self, *words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        """fault: at which function it is to be killed, as module:function."""
        return subprocess.run(
            [self.root / "vms", *words],
            cwd=self.root,
            env=self.environ | {"VMS_TEST_FAULT": fault},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
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


def inherited() -> dict[str, str]:
    """This process' environment without what names another installation."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("VMS_", "AIRFLOW", "GIT_"))}


def made(folder: Path) -> Clone:
    """A repository with this program, a clone of it, and a home with a catalogue that knows of a hold."""
    origin, root, venv = folder / "origin", folder / "a clone", folder / "venv"
    origin.mkdir()
    for name in PARTS:
        here = PROJECT_ROOT / name
        copy = shutil.copytree if here.is_dir() else shutil.copy
        copy(here, origin / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if here.is_dir() else {}))
    (origin / ".gitignore").write_text("__pycache__/\n.vms/\n")
    keep = inherited()
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
    environment(venv, clone, faults=True)
    (folder / "sites.yaml").write_text("stores: {}\nsites: []\n")
    clone.home.prepare()
    return clone


def environment(venv: Path, clone: Clone, *, faults: bool) -> None:
    """A virtual environment over the packages of this one, whose installer only notes that it was called. Airflow's own
    database is left out: its tables take a minute."""
    packages = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    real = Path(sys.executable).parent.parent / "pyvenv.cfg"
    shutil.copy(real, venv) if real.exists() else (venv / "pyvenv.cfg").write_text("version = 3\n")
    (packages / "real.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    if faults:
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
    if module.__name__ == "vms.stack.airflow_tables":
        module.are_old = lambda home: False
    if module.__name__ == MODULE:
        *owner, last = NAME.split(".")
        for one in owner:
            module = getattr(module, one)
        setattr(module, last, lambda *_a, **_k: os.kill(os.getpid(), signal.SIGKILL))

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in ("vms.stack.airflow_tables", MODULE):
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
