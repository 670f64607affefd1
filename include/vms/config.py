"""What the company wants: sites, stores and profiles, read from sites.yaml by one loader.

`load_config` never raises for a mistake inside one site: that site gets an error and the others load. Messages name
file, line, column, what was found, what is allowed and the nearest valid word. The parsed file is kept in memory until
it changes on disk, so a task or a DAG parse may ask for it as often as it likes, and an edit takes effect at once.
"""

from __future__ import annotations

from pathlib import Path

from vms.config_check import check_document
from vms.config_model import (
    BackupPolicy,
    CameraConfig,
    Config,
    NamePattern,
    Profile,
    RetentionPolicy,
    Site,
    SiteError,
    StoreConfig,
)
from vms.config_yaml import read_document
from vms.errors import ConfigError
from vms.home import PROJECT_ROOT, Home, from_environment

__all__ = [
    "BackupPolicy",
    "CameraConfig",
    "Config",
    "NamePattern",
    "Profile",
    "RetentionPolicy",
    "Site",
    "SiteError",
    "StoreConfig",
    "ensure_sites_file",
    "load_config",
]

EXAMPLE = PROJECT_ROOT / "include" / "sites.example.yaml"

_Version = tuple[int, int, int, int, str]
_loaded: dict[tuple[str, str | None], tuple[_Version, Config]] = {}


def load_config(path: Path, only_site: str | None = None) -> Config:
    """Read and check sites.yaml. Raises ConfigError when the file can't be read or is no YAML at all.

    only_site: check only this site and what it uses (a task of one site needs no more); `sites` then holds at most it.

    Of what a centre has told its branch, which it has checked as a whole, a key that is not known here is one of a
    newer version: it is left out, and `unknown` names it.
    """
    here = from_environment()
    home = here.root
    told = bool(here.branch) and path == home / "branch" / "sites.yaml"
    version = _version(path, home)
    kept = _loaded.get((str(path), only_site))
    if kept and kept[0] == version:
        return kept[1]
    config = check_document(read_document(path, only_site), home, only_site, of_newer=told)
    if only_site is not None and not config.sites and not config.errors:
        # no such site: `Config.site` names those that there are
        config = check_document(read_document(path), home, of_newer=told)
    _loaded[str(path), only_site] = (version, config)
    return config


def ensure_sites_file(home: Home) -> bool:
    """Make the user's sites.yaml from the commented example if there is none. Returns whether it was made.

    Raises ConfigError when its folder can't be written.
    """
    try:
        home.sites_file.parent.mkdir(parents=True, exist_ok=True)
        with home.sites_file.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE.read_text(encoding="utf-8"))
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(
            f"{home.sites_file} can't be made ({error.strerror}).",
            f"Give this user the right to write there, or set VMS_SITES to a copy of {EXAMPLE} that it can read.",
        ) from error
    return True


def _version(path: Path, home: Path) -> _Version:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file.", "`vms up` makes it from the example, or set VMS_SITES to your file."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read ({error.strerror}).", "Check the path in VMS_SITES and its rights."
        ) from error
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev, str(home)
