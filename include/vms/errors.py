"""What can go wrong, said for the person on call: what was wrong, where, and what to do next."""

from typing import Literal

Reason = Literal[
    # the file itself
    "zero_bytes", "not_video", "no_video_stream", "no_moov", "damaged", "undecodable", "playlist", "not_recordable",
    # its place in the footage folder
    "unreadable", "directory", "link_outside", "not_a_file", "outside_footage", "missing",
    "source_gone", "source_changed", "footage_unreachable",
    # the work on it
    "staging_full", "staging_failed", "disk", "compress_failed", "upload_failed", "unexpected",
    # the stores
    "store_unreachable", "store_full", "store_denied", "store_conflict", "store_refused", "not_proven", "incomplete",
    "copy_damaged", "copy_unreachable", "restore_needed",
]  # fmt: skip
"""Why a file got no further. Stable: stored in the catalogue, printed by --json, worded in the viewer."""


class VmsError(Exception):
    """Base of every refusal of this product.

    message: what was wrong and where (file, line, camera, store). remedy: what to do next.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(VmsError):
    """sites.yaml or an environment setting is wrong."""


class UserError(VmsError):
    """A user of the viewer can't be made or changed as asked: name, password, role, what they may see."""


class StackError(VmsError):
    """A part of the local stack (Postgres, Airflow, viewer) can't be started, reached or stopped."""


class BranchError(VmsError):
    """A branch can't be invited or join, this machine is none, or what makes it one can't be used."""


class BranchUnreachable(BranchError):
    """The centre does not answer: the line is down. What is here goes on."""


class BranchRefused(BranchError):
    """The centre does not let this branch in (any more). No retry helps until somebody acts."""


class FootageUnreachable(VmsError):
    """A footage folder is missing, empty where it never was, or does not answer in time."""


class SourceRejected(VmsError):
    """A source file can't become a recording."""

    def __init__(self, reason: Reason, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.args = (reason, message, remedy)
        self.reason = reason


class SourceChanged(VmsError):
    """A source file changed while it was being read: it is not closed after all and is looked at again later."""


class StagingFull(VmsError):
    """The staging disk has too little free space for the next rendition."""


class EncodeFailed(VmsError):
    """FFmpeg failed, ran out of time or made something that does not check out."""


class StoreError(VmsError):
    """A store refused or failed."""


class StoreUnreachable(StoreError):
    """A store is away, unmounted, or not the store that the catalogue knows."""


class WrongStore(StoreUnreachable):
    """What is found at a store's place is not the store that the catalogue knows: not mounted, emptied, another one."""


class StoreFull(StoreError):
    """A store has no space left."""


class StoreDenied(StoreError):
    """A store does not let us in: credentials, rights, a missing bucket. No retry helps until somebody acts."""


class StoreConflict(StoreError):
    """A different object lies under a key of ours; nothing was overwritten."""


class RestoreNeeded(StoreError):
    """An object lies in a storage class that has to be restored before it can be read."""


class CopyUnreachable(StoreError):
    """No store that holds a recording can be read now."""


class CopyDamaged(StoreError):
    """A copy that the catalogue knows as proven is gone from its store, or has other bytes now."""


class CatalogueError(VmsError):
    """The catalogue can't be reached or its contents contradict what is asked."""
