"""Small files that people and programs read: all of the new text lies there, or the old one."""

from __future__ import annotations

import os
from pathlib import Path

from vms.errors import ConfigError


def write_whole(path: Path, text: str) -> None:
    """Put text (UTF-8) in the place of what is at path. Raises ConfigError when the disk does not take it."""
    begun = path.with_name(f".{path.name}.part")
    try:
        with begun.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror}).", "Make room there, then go on.") from error
