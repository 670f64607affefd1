"""The source file of a planned recording: found under any of its names, never outside the footage folder, unchanged."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from vms.config import Site
from vms.errors import FootageUnreachable, SourceChanged, SourceRejected
from vms.footage import fingerprint, mtime_ns
from vms.model import BatchItem
from vms.paths import from_text
from vms.sightings import SourceSeen


def find_source(item: BatchItem, site: Site) -> tuple[SourceSeen, Path]:
    """The first of the item's names that still holds this content, with the size and mtime found now.

    Raises SourceRejected (outside_footage; source_gone: no name is left), SourceChanged (a name holds something else),
    FootageUnreachable.
    """
    if not site.footage.is_dir():
        raise FootageUnreachable(
            f"{site.id}: the footage folder {site.footage} is not there.", "Is the disk or share mounted?"
        )
    changed, outside = "", None
    for source in item.sources:
        try:
            path = path_of(site, source)
            status = path.stat()
        except SourceRejected as error:
            outside = outside or error
            continue
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISREG(status.st_mode):
            changed = changed or f"{source.path} is no ordinary file any more"
        elif fingerprint(path) != item.fingerprint:
            changed = changed or f"{source.path} holds other footage than when it was planned"
        else:
            return replace(source, size_bytes=status.st_size, mtime_ns=mtime_ns(status)), path
    if outside is not None:
        raise outside
    if changed:
        raise SourceChanged(
            f"{site.id}/{item.camera}: {changed}.", "It is looked at again; nothing has to be done unless it repeats."
        )
    raise SourceRejected(
        "source_gone",
        f"{site.id}/{item.camera}: {item.sources[0].path} was there when it was planned and is gone now.",
        "Does the recorder overwrite its oldest files before they are archived? Give it more disk or archive more "
        "often. It is archived if it is seen again.",
    )


def path_of(site: Site, source: SourceSeen) -> Path:
    """Where the source lies. Raises SourceRejected (outside_footage) when that is not below the footage folder."""
    path = site.footage / from_text(source.path)
    try:
        inside = ".." not in path.parts and path.resolve().is_relative_to(site.footage.resolve())
    except RuntimeError:  # a loop of links
        inside = False
    if not inside:
        raise SourceRejected(
            "outside_footage",
            f"{site.id}: {source.path} leads out of the footage folder; it was not read.",
            "Put the footage itself there, not a link to another place.",
        )
    return path


def refuse_changed(path: Path, source: SourceSeen) -> None:
    """Raises SourceChanged when the file is not as it was when it was found."""
    status = path.stat()
    if (status.st_size, mtime_ns(status)) != (source.size_bytes, source.mtime_ns):
        raise SourceChanged(
            f"{source.path} was written to while it was being compressed; what was made of it is not used.",
            "It is looked at again; nothing has to be done unless it repeats.",
        )
