"""The names that recorders give their files, read from recorders.yaml: how to read a name is data, not code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vms.config_model import NamePattern

RECORDERS_FILE = Path(__file__).with_name("recorders.yaml")


@cache
def built_in_patterns() -> tuple[NamePattern, ...]:
    """The patterns of recorders.yaml, the most particular first: the first that fits a name reads it."""
    return tuple(
        NamePattern(name, entry["regex"], entry.get("time_is", "start"), entry.get("zone", "local"))
        for name, entry in recorder_entries().items()
    )


@cache
def built_in_pattern_names() -> frozenset[str]:
    """The names that a site's `pattern` may take besides those of sites.yaml."""
    return frozenset(pattern.name for pattern in built_in_patterns())


@cache
def words_that_name_no_camera() -> frozenset[str]:
    """Words such as `rec` or `video` that stand where a camera's name could stand."""
    return frozenset(_file()["words"])


def recorder_entries() -> dict[str, Any]:
    """The patterns of recorders.yaml as they stand there, by name, with their examples."""
    entries: dict[str, Any] = _file()["patterns"]
    return entries


@cache
def _file() -> dict[str, Any]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: dict[str, Any] = yaml.load(RECORDERS_FILE.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    return content
