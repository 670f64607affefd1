"""What a branch may know of sites.yaml: its own site with what that uses, and nothing of other sites, of who is told of
alerts, or of how people sign in."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

from vms.config import load_config
from vms.config_yaml import Document, read_document

_one_at_a_time = Lock()  # each branch asks once a minute, and all of a thousand sites take a second to read

_HEAD = (
    "# From the centre, by `vms branch`: what is changed here is overwritten. Change it in the centre's sites.yaml.\n"
)


def slice_of(sites_file: Path, site_id: str) -> str:
    """A sites.yaml that means for this site what the whole one does. Raises ConfigError when there is no such site, or
    a mistake in it."""
    with _one_at_a_time:
        load_config(sites_file).site(site_id)
        found = sites_file.stat()
        return _slice_of(sites_file, (found.st_mtime_ns, found.st_size, found.st_ino), site_id)


@lru_cache(maxsize=4096)
def _slice_of(sites_file: Path, version: tuple[int, ...], site_id: str) -> str:
    document = _document(sites_file, version)
    defaults = _section(document, "defaults")
    own = next(one.data for one in document.sites if isinstance(one.data, dict) and one.data.get("id") == site_id)
    # A word that the site leaves empty means the default, but for keep_source: there, empty is never said.
    site = {**{key: value for key, value in defaults.items() if value is not None}, **_given(own)}
    stores = _section(document, "stores")
    names = _names(site.get("stores")) or list(stores)
    used = {*names, *_names(site.get("fallback"))}
    parts: dict[str, Any] = {
        "stores": {name: value for name, value in stores.items() if name in used},
        "profiles": _used(_section(document, "profiles"), site.get("profile", "av1")),
        "patterns": _used(_section(document, "patterns"), site.get("pattern")),
    }
    whole = {**{name: value for name, value in parts.items() if value}, "sites": [site]}
    return _HEAD + yaml.safe_dump(whole, allow_unicode=True, sort_keys=False, width=120)


@lru_cache(maxsize=1)
def _document(sites_file: Path, _version: tuple[int, ...]) -> Document:
    return read_document(sites_file)


def tag_of(text: str) -> str:
    """By which a branch asks whether it changed."""
    return '"' + hashlib.sha256(text.encode()).hexdigest()[:32] + '"'


def _section(document: Document, name: str) -> dict[str, Any]:
    located = document.sections.get(name)
    return located.data if located is not None and isinstance(located.data, dict) else {}


def _given(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _used(section: dict[str, Any], name: Any) -> dict[str, Any]:
    return {name: section[name]} if isinstance(name, str) and name in section else {}


def _names(found: Any) -> list[str]:
    return [found] if isinstance(found, str) else [one for one in found or [] if isinstance(one, str)]
