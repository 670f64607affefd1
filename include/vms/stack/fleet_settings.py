"""What Airflow is told differently the more sites there are: a pure function of their number.

The figures behind it are in docs/benchmarks.md, "The fleet". Airflow's parts read it when they start: after a fleet has
grown from a few sites to hundreds they want a restart. What each was started with it leaves in a file, so that
`vms doctor` can tell.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from vms.config import load_config
from vms.errors import ConfigError
from vms.home import Home

SECONDS_A_SITE = 0.3
"""Between two readings of the DAG files: a reading takes some 30 ms a site, and so about a tenth of a core at most.
Tasks read sites.yaml themselves; this is how long a new site, or a site's new period, may take to be seen."""

PARTS = {
    "api-server": ("API__",),
    "scheduler": ("SCHEDULER__", "CORE__"),
    "dag-processor": ("DAG_PROCESSOR__", "CORE__"),
}
"""Those that go by these settings, and by which."""

_SITES = "sites"  # beside the settings in what a part notes of its start


def settings_for(sites: int) -> dict[str, str]:
    """By the names of Airflow's settings. Up to a hundred sites they are what any small installation has."""
    reading_s = max(30, round(sites * SECONDS_A_SITE))
    import_s = max(60, round(sites * 0.12))
    wanted = {
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": reading_s,
        "CORE__DAGBAG_IMPORT_TIMEOUT": import_s,
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": 2 * import_s,
        # At Airflow's own 10 and 20 a loop, a thousand runs that are due would begin in a hundred loops.
        "SCHEDULER__MAX_DAGRUNS_TO_CREATE_PER_LOOP": min(50, max(10, sites // 20)),
        "SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": min(100, max(20, sites // 10)),
        # A task start costs the API server a tenth of a second, and one process has one core.
        "API__WORKERS": 1 + sites // 400,
        "SCHEDULER__MAX_TIS_PER_QUERY": min(128, max(16, sites // 5)),
    }
    return {name: str(value) for name, value in wanted.items()}


def note_start(home: Home, part: str, environment: Mapping[str, str]) -> None:
    """Keep what this part of Airflow is started with, until it is started again."""
    told = {name: environment[f"AIRFLOW__{name}"] for name in settings_for(0)} | {_SITES: str(count_sites(home))}
    with contextlib.suppress(OSError):  # a disk that takes nothing must not keep a part from starting
        _file(home, part).write_text(json.dumps(told))


def outgrown(home: Home) -> list[str]:
    """The parts that were started for so many fewer sites that they lack a quarter of what they would be told now.

    The sites, too, must be a quarter more: small numbers go in steps, and no step is as far as that.
    """
    now = count_sites(home)
    wanted = settings_for(now) | {_SITES: str(now)}
    parts = []
    for part in PARTS:
        lacking = {name for name, had in _had(home, part).items() if 1.33 * had < int(wanted[name])}
        if _SITES in lacking and len(lacking) > 1:
            parts.append(part)
    return parts


def _had(home: Home, part: str) -> dict[str, int]:
    """Nothing of a part that has not said so."""
    try:
        told = json.loads(_file(home, part).read_text())
        named = [name for name in (*settings_for(0), _SITES) if name.startswith((*PARTS[part], _SITES))]
        return {name: int(told[name]) for name in named if name in told}
    except (OSError, ValueError):
        return {}


def _file(home: Home, part: str) -> Path:
    return home.run / f"{part}.fleet.json"


def count_sites(home: Home) -> int:
    """How many sites sites.yaml names, right or wrong; none while it can't be read."""
    try:
        config = load_config(home.sites_file)
    except ConfigError:
        return 0
    return len(config.sites) + len(config.errors)
