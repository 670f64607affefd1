"""The picture of a digest: a row for each camera, a column for each day, the colour says how much is there."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vms.coverage import DayCoverage

_CELL_W, _CELL_H, _LEFT, _TOP, _MARGIN = 44, 22, 170, 46, 12
_MOST_CAMERAS = 60
_NOTHING = (214, 216, 220)


def coverage_picture(title: str, days: Sequence[DayCoverage]) -> bytes:
    """A PNG of these camera-days, all of one site. Of more than sixty cameras, those that lack most."""
    dates = sorted({one.day for one in days})
    cameras: dict[str, dict[object, DayCoverage]] = {}
    for one in days:
        cameras.setdefault(one.camera, {})[one.day] = one
    lack = {name: sum(one.expected_s - one.present_s for one in some.values()) for name, some in cameras.items()}
    shown = sorted(sorted(cameras, key=lambda name: -lack[name])[:_MOST_CAMERAS])
    size = (max(_LEFT + len(dates) * _CELL_W + _MARGIN, 360), _TOP + max(len(shown), 1) * _CELL_H + _MARGIN)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    draw.text((_MARGIN, 6), title, fill="black", font=font)
    for column, day in enumerate(dates):
        draw.text((_LEFT + column * _CELL_W + 4, 26), f"{day:%d.%m}", fill=(90, 90, 90), font=font)
    for row, name in enumerate(shown):
        top = _TOP + row * _CELL_H
        draw.text((_MARGIN, top + 3), name[:22], fill="black", font=font)
        for column, day in enumerate(dates):
            left = _LEFT + column * _CELL_W
            found = cameras[name].get(day)
            part = None if found is None or not found.expected_s else found.present_s / found.expected_s
            draw.rectangle((left, top, left + _CELL_W - 2, top + _CELL_H - 2), fill=_color(part))
            if part is not None:
                draw.text((left + 8, top + 3), f"{int(100 * part)}", fill="black", font=font)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _color(part: float | None) -> tuple[int, int, int]:
    """Grey where nothing was expected; green for all, from yellow to red the more is missing."""
    if part is None:
        return _NOTHING
    if part >= 0.995:
        return (120, 200, 120)
    return (240, int(90 + 140 * part), 90)
