"""Links by which a browser fetches an object from its store itself, and whether browsers can follow them.

A link is good for whoever has it, for as long as it lasts, and can't be taken back: ask for one only for somebody who
may have the object now, and for a few minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import requests

from vms.errors import StoreError
from vms.stores.base import Finding
from vms.stores.identity import IDENTITY_FILE

_TIMEOUT = (5, 15)
_PUBLIC = re.compile(r"\.(s3\.[a-z0-9-]+\.amazonaws\.com(\.cn)?|storage\.googleapis\.com)")
"""What follows the bucket in the name of its server, of a region of Amazon or at Google: no address of a company's own
network (.vpce., private.), and none that is all buckets'."""

_EXPOSED = ("Content-Length", "Content-Range", "ETag")


class CanNotSign(StoreError):
    """The account that the store is reached with has nothing to sign links with."""


@runtime_checkable
class GivesLinks(Protocol):
    """Can sign links to its objects."""

    def link(self, key: str, lasts_s: int, media_type: str, disposition: str, address: str = "") -> str:
        """The address of the object for this many seconds; it is answered with this type and disposition.

        address: of the server as browsers reach it, "" when that is the connection's own. Nothing is asked of the
        store itself, so there may be no such object. Raises CanNotSign, or another StoreError.
        """


def origin(link: str) -> str:
    """The part of an address that browsers give rights to: https://host:port."""
    parts = urlsplit(link)
    return f"{parts.scheme}://{parts.netloc}"


def is_public(link: str, url: str) -> bool:
    """Whether its server is this bucket's own at Amazon or Google, which browsers reach wherever they are. url: of the
    store."""
    host, bucket = urlsplit(link).hostname or "", urlsplit(url).netloc
    return host.startswith(bucket) and _PUBLIC.fullmatch(host.removeprefix(bucket)) is not None


def is_answered(link: str) -> bool:
    """Whether the server gives what was signed to whom asks from this machine."""
    try:
        return requests.get(link, headers={"Range": "bytes=0-0"}, timeout=_TIMEOUT).status_code in (200, 206)
    except requests.RequestException:
        return False


def findings(store: GivesLinks, url: str, address: str, origins: Sequence[str], *, asked: bool = True) -> list[Finding]:
    """Whether pages of these origins (the viewer's) may read from the store: tried as a browser does it. Never raises.

    url: of the store. asked: sites.yaml sends browsers there; if not, only a public server is looked at, and what it
    lacks is no fault: then footage passes through the viewer. Looked at from this machine: what a branch's firewall
    lets through, it can't say.
    """
    try:
        link = store.link(IDENTITY_FILE, 60, "application/json", "inline", address)
    except CanNotSign as error:
        what = f"signs no links ({error.message.rstrip('.')}), so footage passes through the viewer"
        return [Finding(True, what)] if asked else []
    except StoreError as error:
        return [Finding(not asked, error.message, error.remedy)]
    if asked:
        return _tried(link, url, origins)
    if not is_public(link, url):
        return []
    return [
        one if one.ok else replace(one, ok=True, what=f"{one.what}; it goes through the viewer instead")
        for one in _tried(link, url, origins)
    ]


def _tried(link: str, url: str, origins: Sequence[str]) -> list[Finding]:
    try:
        told = requests.get(link, headers={"Range": "bytes=0-0"}, timeout=_TIMEOUT)
        if told.status_code not in (200, 206):
            what = f"refuses a link that was signed for it ({told.status_code})"
            return [Finding(False, what, _why(told.text, link))]
        refused = [one for one in origins if not _lets_in(link, one)]
    except requests.RequestException as error:
        what = f"its address for browsers, {origin(link)}, does not answer ({type(error).__name__})"
        return [Finding(False, what, "Correct `viewer` of the store in sites.yaml, or the server's certificate.")]
    where = f"at {origin(link)}, by links"
    if not refused:
        return [Finding(True, f"lets browsers read footage {where}, on pages of {', '.join(origins)}")]
    what = f"lets no browser read footage {where}, on pages of {', '.join(refused)}: the bucket has no CORS rule for it"
    return [Finding(False, f"{what}; until then the timeline plays through the viewer", _rule(url, origins))]


def _lets_in(link: str, page: str) -> bool:
    """Whether a script of this page may read a range: the question before it, and the answer itself."""
    asking = {"Origin": page, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    before = requests.options(link, headers=asking, timeout=_TIMEOUT)
    answer = requests.get(link, headers={"Origin": page, "Range": "bytes=0-0"}, timeout=_TIMEOUT)
    allowed = before.headers.get("Access-Control-Allow-Headers", "").lower()
    return (
        before.ok
        and ("range" in allowed or "*" in allowed)
        and all(one.headers.get("Access-Control-Allow-Origin") in ("*", page) for one in (before, answer))
    )


def _rule(url: str, origins: Sequence[str]) -> str:
    """How to let browsers in, to be copied. It takes the place of the rules that the bucket has."""
    bucket = urlsplit(url).netloc
    if url.startswith("gs:"):
        headers = ["Range", *_EXPOSED]
        rule = [{"origin": [*origins], "method": ["GET"], "responseHeader": headers, "maxAgeSeconds": 3600}]
        told = f"echo '{json.dumps(rule)}' > cors.json && gcloud storage buckets update gs://{bucket}"
        return f"Give the bucket this rule (beside those that it has): {told} --cors-file=cors.json"
    one = {
        "AllowedOrigins": [*origins],
        "AllowedMethods": ["GET"],
        "AllowedHeaders": ["Range"],
        "ExposeHeaders": [*_EXPOSED],
        "MaxAgeSeconds": 3600,
    }
    told = f"aws s3api put-bucket-cors --bucket {bucket} --cors-configuration '{json.dumps({'CORSRules': [one]})}'"
    return f"Give the bucket this rule (beside those that it has): {told}"


def _why(answer: str, link: str) -> str:
    if "SignatureDoesNotMatch" in answer:
        return f"The server must see its own name, {urlsplit(link).netloc}, in requests: look at the proxy before it."
    return "Check the rights of its key to read objects, and both clocks."
