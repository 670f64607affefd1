"""What sites.yaml may ask of a store's objects: class, encryption, tags, lock, proof by reading.

A wish that its kind of store can't fulfil is refused here, with the reason, and not by the first upload of the night.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from vms.config_values import DURATION_ALLOWED, did_you_mean, duration, storage_class
from vms.model import NO_OPTIONS, StoreOptions

MOST_TAGS = 10
_TAG_NAME, _TAG_VALUE = 128, 256
_TAG_TEXT = re.compile(r"[\w \t+\-=.:/@]*")
_TAGS_ALLOWED = "letters, digits, spaces and + - = . _ : / @"

_MOST_LOCK = timedelta(days=36_500)

_KMS = "aws:kms"
_S3_ENCRYPTIONS = ("AES256", _KMS)
_S3_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[A-Za-z0-9/_-]+|(?!arn:)[A-Za-z0-9/_-]{1,256}")
_GS_KEY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+")
_S3_ENCRYPTION_ALLOWED = "AES256, aws:kms (the bucket's key) or aws:kms:KEY, KEY being a key's id, ARN or alias/name"
_GS_ENCRYPTION_ALLOWED = "a key's name: projects/PROJECT/locations/PLACE/keyRings/RING/cryptoKeys/KEY"

_BY_READING = ("GLACIER", "DEEP_ARCHIVE")
"""Classes whose objects can't be read before they are restored."""


class OptionMistake(ValueError):
    """A mistake in the value of one key of a store."""

    def __init__(self, key: str, said: str) -> None:
        super().__init__(f"{key}: {said}")
        self.key = key


def tags(given: Mapping[Any, Any]) -> dict[str, str]:
    """The tags, when S3 takes them all. Raises ValueError that says what is allowed."""
    if len(given) > MOST_TAGS:
        raise ValueError(f"these are {len(given)}; an object can have at most {MOST_TAGS} tags.")
    kept: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, (dict, list)):
            raise ValueError(f'the tag "{name}" has no text; allowed is name: text.')  # noqa: TRY004 - for pydantic
        text = "" if value is None else str(value)
        if not 1 <= len(name) <= _TAG_NAME or len(text) > _TAG_VALUE:
            raise ValueError(
                f'the tag "{name[:40]}" is too long or has no name; allowed are {_TAG_NAME} characters for the name and'
                f" {_TAG_VALUE} for the text."
            )
        if name.lower().startswith("aws:"):
            raise ValueError(f'the tag "{name}" is not allowed; names that begin with aws: are Amazon\'s own.')
        if not (_TAG_TEXT.fullmatch(name) and _TAG_TEXT.fullmatch(text)):
            raise ValueError(f'the tag "{name}: {text}" is not allowed; allowed are {_TAGS_ALLOWED}.')
        kept[name] = text
    return kept


def lock(text: str) -> timedelta:
    """How long objects are locked: whole days. Raises ValueError that says what is allowed."""
    try:
        span = duration(text)
    except ValueError:
        raise ValueError(f"allowed is {DURATION_ALLOWED}, in whole days.") from None
    if not timedelta(days=1) <= span <= _MOST_LOCK or span % timedelta(days=1):
        raise ValueError(f"allowed are whole days, 1d to {_MOST_LOCK.days}d.")
    return span


def store_options(section: Any, url: str) -> StoreOptions:
    """What the store's new objects get. section: the checked keys of the store. Raises OptionMistake."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        _has_none(section)
        return NO_OPTIONS
    if section.tags and scheme == "gs":
        raise OptionMistake("tags", "objects of Google Cloud Storage have no tags; label the bucket, and take it out.")
    if section.lock_mode and not section.lock:
        raise OptionMistake(
            "lock_mode", "it says how `lock` holds, and there is no lock; give lock: 180d, for example."
        )
    kept_class = _storage_class(section.storage_class, url)
    if section.verify and kept_class in _BY_READING:
        raise OptionMistake(
            "verify",
            f"objects of the class {kept_class} can't be read before they are restored; take another storage_class.",
        )
    return StoreOptions(
        storage_class=kept_class,
        encryption=_encryption(section.encryption, scheme),
        tags=tuple(section.tags.items()),
        lock_days=section.lock.days if section.lock else 0,
        lock_mode=section.lock_mode or "governance",
        read_back=bool(section.verify),
    )


def browsers(text: str, url: str) -> str:
    """Where browsers fetch footage themselves (see StoreConfig). text: the key `viewer`. Raises OptionMistake."""
    scheme = urlsplit(url).scheme
    if text in ("", "through"):
        return text
    if scheme == "file":
        raise OptionMistake("viewer", "a folder has no address that a browser could go to; take it out.")
    if text == "redirect":
        return text
    parts = urlsplit(text)
    plain = parts.hostname and "@" not in parts.netloc and parts.path in ("", "/") and not parts.query + parts.fragment
    if parts.scheme in ("http", "https") and plain:
        return f"{parts.scheme}://{parts.netloc}"
    also = "the address at which browsers reach the server, such as https://s3.company.co.id"
    near = did_you_mean(text, ["through", "redirect"])
    raise OptionMistake("viewer", f'found "{text}"; allowed are through, redirect, or {also}.{near}')


def lock_outlasts(options: StoreOptions, retention: timedelta) -> bool:
    """Whether the bucket would still refuse to delete when the time has come."""
    return timedelta(days=options.lock_days) > retention


def _has_none(section: Any) -> None:
    """A folder has none of it. That it is read back needs no saying, and does no harm."""
    reasons = {
        "storage_class": "only stores at s3:// and gs:// have one; take it out.",
        "encryption": "a mounted folder is encrypted by the NAS or not at all; take it out.",
        "tags": "files have no tags; take it out.",
        "lock": "a folder can't lock its files; take it out, and use the NAS's own snapshots.",
        "lock_mode": "a folder can't lock its files; take it out.",
    }
    for key, reason in reasons.items():
        if getattr(section, key):
            raise OptionMistake(key, reason)


def _storage_class(text: str, url: str) -> str:
    try:
        return storage_class(text, url) if text else ""
    except ValueError as error:
        raise OptionMistake("storage_class", str(error)) from None


def _encryption(text: str, scheme: str) -> str:
    if not text:
        return ""
    if scheme == "gs":
        if _GS_KEY.fullmatch(text):
            return text
        why = " Google encrypts everything anyway: only a key of your own is named." if text.isalnum() else ""
        raise OptionMistake("encryption", f'found "{text}"; allowed for gs:// is {_GS_ENCRYPTION_ALLOWED}.{why}')
    known = {one.lower(): one for one in _S3_ENCRYPTIONS}
    if text.lower() in known:
        return known[text.lower()]
    key = text[len(_KMS) + 1 :] if text.lower().startswith(f"{_KMS}:") else ""
    if _S3_KEY.fullmatch(key) and not _GS_KEY.fullmatch(key):
        return f"{_KMS}:{key}"
    near = did_you_mean(text, _S3_ENCRYPTIONS)
    raise OptionMistake("encryption", f'found "{text}"; allowed for s3:// are {_S3_ENCRYPTION_ALLOWED}.{near}')
