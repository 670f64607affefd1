"""The indexes of the renditions that are played, read from their heads in the stores and kept for the next time."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from viewer import media
from vms.catalogue.playables import Playable
from vms.logs import of_recording
from vms.video.fragments import FragmentIndex, NotFragmented, read_index

log = logging.getLogger(__name__)

Why = Literal["form", "missing", "away", "cold"]
"""Why a rendition has no index: it is of a form that browsers take only as a whole, or no store gives it, or none
before it has restored it."""

_WHY: dict[int, Why] = {503: "away", 409: "cold"}
_MOST = 4096  # of about 8 kB each: a rendition of five minutes has some 20 fragments, a copied one 150
_FORMS = frozenset({".mp4", ".m4v", ".mov"})


class Heads:
    """Reads several heads at once, each but once."""

    def __init__(self, most: int = _MOST) -> None:
        self._known: OrderedDict[tuple[int, int, str], FragmentIndex | None] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()
        self._readers = ThreadPoolExecutor(8, thread_name_prefix="heads")

    def read(self, wanted: Sequence[Playable]) -> list[FragmentIndex | Why]:
        """The index of each of these, or why there is none."""
        return list(self._readers.map(lambda one: of_recording(one.recording_id, self._one)(one), wanted))

    def _one(self, wanted: Playable) -> FragmentIndex | Why:
        if not wanted.places:
            return "missing"
        if wanted.suffix not in _FORMS:
            return "form"
        key = (wanted.recording_id, wanted.size_bytes, wanted.places[0].key)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key] or "form"
        index: FragmentIndex | None = None
        try:
            index = read_index(
                lambda start, length: b"".join(media.open_bytes(wanted.places, start, length)), wanted.size_bytes
            )
        except NotFragmented:
            log.info("%s has no index of fragments", wanted.places[0].key)
        except media.Refusal as refusal:
            return _WHY.get(refusal.status, "missing")
        with self._lock:
            self._known[key] = index
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return index or "form"
