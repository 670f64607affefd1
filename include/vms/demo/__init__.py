"""The demonstration: three sites whose recorders are played by FFmpeg, so that all can be seen without a camera."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from vms.demo.cameras import SITES
from vms.demo.clips import footage_folder, sweep
from vms.demo.first_set import make_first_set
from vms.errors import ConfigError
from vms.home import Home

_SITES_FILE = Path(__file__).with_name("sites.yaml")
_NAS = '  nas: { url: "file://${VMS_HOME}/nas" }\n'
_CLOUD = "  cloud: { url: s3://cctv-demo/archive, conn_id: demo_s3 }   # the S3 server of ./vms up --demo --with-s3\n"
_ONE_COPY, _TWO_COPIES = "  stores: [nas]\n", "  stores: [nas, cloud]\n"


def prepare(
    home: Home, *, report: Callable[[str], None] = lambda _text: None, stop: threading.Event | None = None
) -> bool:
    """Make demo-sites.yaml and, at the first start, the first footage; a few seconds. Returns whether it was made now.

    A demo-sites.yaml that is there is kept, for a person may have changed it; only the store of the S3 server is put in
    or taken out as `home.with_s3` says. report gets a sentence per step.
    Raises ConfigError when the state folder can't be written, EncodeFailed when FFmpeg can't make the footage: then
    the rest is there, nothing needs to wait for it, and the recorder makes it later (`vms.demo.recorder`).
    """
    home.prepare()
    made = _first_set(home)
    try:
        for folder in (home.nas, *(footage_folder(home, site) for site in SITES)):
            folder.mkdir(parents=True, exist_ok=True)
        sites_file = home.root / "demo-sites.yaml"
        there = sites_file.read_text(encoding="utf-8") if sites_file.exists() else ""
        wanted = with_cloud(there or _SITES_FILE.read_text(encoding="utf-8"), wanted=home.with_s3)
        if wanted != there:
            fresh = sites_file.with_suffix(f".{os.getpid()}.new")
            fresh.write_text(wanted, encoding="utf-8")
            fresh.rename(sites_file)
            report(f"wrote {sites_file}")
        if made.exists():
            return False
        sweep(home, SITES)
        report("recording the first footage of three sites")
        files = make_first_set(home, datetime.now(UTC), stop=stop)
        made.write_text(json.dumps([str(path.relative_to(home.demo_footage)) for path in files], indent=1))
    except OSError as error:
        raise ConfigError(
            f"The demonstration can't be written below {home.root} ({error.strerror}).",
            "Free some space there, or set VMS_HOME to a folder that this user may write to.",
        ) from error
    return True


def has_first_set(home: Home) -> bool:
    """Whether the first footage was made."""
    return _first_set(home).exists()


def _first_set(home: Home) -> Path:
    return home.demo_footage / "first-set.json"


def with_cloud(sites: str, *, wanted: bool) -> str:
    """The text of a demo-sites.yaml with or without the store of the S3 server; all else stays as it is.

    Raises ConfigError when a person has rewritten the lines that it would have to change.
    """
    if not wanted:
        return sites.replace(_CLOUD, "").replace(_TWO_COPIES, _ONE_COPY)
    if "demo_s3" in sites:
        return sites
    if _NAS not in sites or _ONE_COPY not in sites:
        raise ConfigError(
            "demo-sites.yaml was changed and names no store at the S3 server.",
            f'Add "{_CLOUD.partition("  #")[0].strip()}" to its stores and "cloud" to the stores of its sites, or'
            " delete the file: it is then made anew.",
        )
    return sites.replace(_NAS, _NAS + _CLOUD, 1).replace(_ONE_COPY, _TWO_COPIES, 1)
