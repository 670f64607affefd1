"""Reads what Telegram Desktop exports as JSON: which file came with which message, in which chat, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vms.errors import ConfigError

FILE = "result.json"


@dataclass(frozen=True)
class Message:
    """One message with a file. at: when it was sent (UTC); local: the same on the clock of whoever exported."""

    chat: str
    number: int
    at: datetime
    local: datetime | None

    def stamp(self, suffix: str) -> str:
        """How Telegram ends the name of a video that had none of its own: video_1@31-01-2026_08-00-00.mp4."""
        return f"{self.local:%d-%m-%Y_%H-%M-%S}{suffix}" if self.local else ""


def messages(folder: Path) -> dict[str, Message]:
    """The messages with a file, by its path below the folder; none when the folder is no such export.

    Takes the export of one chat and that of a whole account. Raises ConfigError for a result.json that can't be read.
    """
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / FILE} can't be read ({error}).", "Export the chat again as JSON.") from error
    return {path: message for chat in _chats(data) for path, message in _files(chat)}


def _chats(data: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(data, dict):
        return
    if isinstance(data.get("messages"), list):
        yield data
    for group in ("chats", "left_chats"):
        listed = data.get(group)
        for chat in listed.get("list") or () if isinstance(listed, dict) else ():
            if isinstance(chat, dict) and isinstance(chat.get("messages"), list):
                yield chat


def _files(chat: dict[str, Any]) -> Iterator[tuple[str, Message]]:
    for one in chat["messages"]:
        path = one.get("file") if isinstance(one, dict) else None
        if not isinstance(path, str):
            continue
        try:
            local = datetime.fromisoformat(one["date"]) if "date" in one else None
            at = datetime.fromtimestamp(int(one["date_unixtime"]), UTC)
            yield path, Message(str(chat.get("name") or ""), int(one["id"]), at, local)
        except (KeyError, TypeError, ValueError, OverflowError):  # older exports tell no instant: then the file's time
            continue
