"""What a request of the page Watch asks for, read from its address. It is untrusted: what does not fit is refused."""

from __future__ import annotations

import re
from datetime import datetime

from starlette.datastructures import QueryParams

from viewer import query
from viewer.media import Refusal
from viewer.watch.spans import Asked, from_milliseconds
from vms.catalogue.timeline import CameraKey

MOST_CAMERAS = 16
MOST_DAYS = 400
MOST_PLAYED_H = 8
_NUMBER = re.compile(r"-?\d{1,14}\Z")
_FIRST, _LAST = 86_400_000, 250_000_000_000_000  # 1970 to 9892, with room for a day around it


def cameras(params: QueryParams) -> tuple[CameraKey, ...]:
    """?camera=site/camera, repeated or joined by commas."""
    texts = [one for value in params.getlist("camera")[:64] for one in value.split(",")[:64]]
    found = query.read({"camera": texts}).cameras
    if not found or len(found) != len(set(texts)) or len(found) > MOST_CAMERAS:
        raise Refusal(400, "watch.bad_request")
    return found


def one_camera(params: QueryParams) -> CameraKey:
    found = cameras(params)
    if len(found) != 1:
        raise Refusal(400, "watch.bad_request")
    return found[0]


def moment(params: QueryParams, name: str) -> datetime:
    """?name=milliseconds since 1970"""
    text = params.get(name, "")
    if not _NUMBER.match(text) or not _FIRST <= int(text) <= _LAST:
        raise Refusal(400, "watch.bad_request")
    return from_milliseconds(int(text))


def stretch(params: QueryParams, most_days: float = MOST_DAYS) -> Asked:
    """?camera=...&from=...&to=..."""
    asked = Asked(cameras(params), moment(params, "from"), moment(params, "to"))
    if not 0 < asked.days <= most_days:
        raise Refusal(400, "watch.bad_request")
    return asked


def codecs(params: QueryParams) -> frozenset[str]:
    """?can=av1,h264: what the browser plays."""
    return frozenset(params.get("can", "")[:100].split(","))


def is_low(params: QueryParams) -> bool:
    """?low=1: for a thin line."""
    return params.get("low") == "1"
