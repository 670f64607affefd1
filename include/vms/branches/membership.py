"""A branch's side: joining the centre, and what it keeps of that in the folder `branch` of its state folder.

key.pem          made here; never leaves the machine
certificate.pem  by which the centre knows this branch; renewed when two thirds of its time are over
authority.pem    by which this branch knows the centre
branch.json      the rest: see Membership

sites.yaml       what the centre's says of this site; what this installation reads
"""

from __future__ import annotations

import hmac
import json
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import vms
from vms.branches.authority import pin_of, private_pem, put
from vms.branches.invitation import Invitation, read_token
from vms.errors import BranchError, BranchRefused, BranchUnreachable
from vms.home import Home

log = logging.getLogger(__name__)

CLOCK_MAY_BE_OFF = timedelta(seconds=60)
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_JOIN_FIRST = "Join first: `vms branch invite SITE` at the centre prints the line to type here."


@dataclass(frozen=True)
class Membership:
    """url: of the centre's port for branches. edge_secret: with which the worker signs. tag: of what the centre last
    told. version: of the centre's program. clock_off_s: how much this machine's clock was behind the centre's."""

    url: str
    site: str
    worker: str
    queue: str
    edge_secret: str = field(repr=False)
    version: str
    joined_at: str
    tag: str = ""
    clock_off_s: float = 0.0
    asked_at: str = ""
    """When the centre last answered."""
    centre_url: str = ""
    """By which address it says that branches reach it; this branch may have been given another one."""
    moves_to: str = ""
    """Its next address, until it answers there."""

    @property
    def clock_warning(self) -> str:
        """What to say of this machine's clock; "" when it is right."""
        off = timedelta(seconds=abs(self.clock_off_s))
        if off <= CLOCK_MAY_BE_OFF:
            return ""
        way = "behind" if self.clock_off_s > 0 else "ahead of"
        return (
            f"This machine's clock is {off.total_seconds() / 60:.0f} minutes {way} the centre's: set it (NTP). Times in"
            " file names are read as they are; beyond a day certificates do not count any more."
        )

    @property
    def move_note(self) -> str:
        """What to say of the centre's next address; "" when it has none."""
        if not self.moves_to:
            return ""
        return (
            f"The centre moves to {self.moves_to}, but does not answer there yet; this branch goes along when it does."
        )


_FIELDS = frozenset(one.name for one in fields(Membership))


def folder(home: Home) -> Path:
    return home.root / "branch"


def is_joined(home: Home) -> bool:
    return (folder(home) / "branch.json").is_file()


def load(home: Home) -> Membership:
    """Raises BranchError when this machine has not joined."""
    path = folder(home) / "branch.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Membership(**{name: value for name, value in told.items() if name in _FIELDS})  # a newer one's go
    except FileNotFoundError:
        raise BranchError("This machine has not joined as a branch.", _JOIN_FIRST) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BranchError(f"{path} can't be read ({error}).", _JOIN_FIRST) from error


def certificate_until(home: Home) -> datetime:
    """Raises BranchError when there is no certificate."""
    return _own_certificate(home).not_valid_after_utc


def join(home: Home, url: str, token: str, now: datetime) -> Membership:
    """Become the branch that the token is for. The same machine may call it again when the line broke.

    Raises BranchError: another branch lives here already, nobody answers, it is not the centre that made the token, or
    the centre refuses.
    """
    invited = read_token(token)
    url = _address(url)
    home.prepare()
    own = folder(home)
    if is_joined(home) and load(home).site != invited.site:
        raise BranchError(
            f"This machine is the branch {load(home).site} already; the token is for {invited.site}.",
            f"One state folder is one branch: set VMS_HOME to another one, or move {own} away.",
        )
    own.mkdir(mode=0o700, exist_ok=True)
    trusted = _authority(url, invited)
    put(own / "authority.pem", trusted)
    key = _key(own / "joining.pem", now)
    asked = {"token": invited.text, **_says(key, now)}
    began = time.monotonic()
    with _client(url, trusted=own / "authority.pem") as client:
        told, _ = _ask(client, "POST", "/branch/join", json=asked)
    try:
        took = timedelta(seconds=time.monotonic() - began)
        fresh = Membership(url, *_facts(told), now.isoformat(), centre_url=_said_url(told))
        made = _taken(fresh, told, now + took / 2)
        put(own / "certificate.pem", str(told["certificate"]))
        put(own / "key.pem", private_pem(key))
        put(own / "sites.yaml", str(told["sites"]))
        _keep(home, made)
        (own / "joining.pem").unlink(missing_ok=True)  # last: killed before, the same token is good once more
    except (KeyError, OSError) as error:
        raise BranchError(f"What the centre answered can't be kept ({error}).", "Give the command again.") from error
    return made


def fetch_sites(home: Home) -> bool:
    """Take over what changed at the centre: this site's part of sites.yaml, the worker's secret, the version. Returns
    whether anything did. Raises BranchError (BranchRefused, BranchUnreachable)."""
    known = _moved(home, load(home))
    with _own_client(home, known) as client:
        told, tag = _ask(client, "GET", "/branch/config", headers={"If-None-Match": known.tag} if known.tag else {})
        began = datetime.now(UTC)
        clock, _ = _ask(client, "GET", "/branch/health")
    known = _taken(known, clock, began + (datetime.now(UTC) - began) / 2)
    try:
        if told:
            put(folder(home) / "sites.yaml", str(told["sites"]))
            site, worker, queue, secret, version = _facts(told)
            known = replace(known, site=site, worker=worker, queue=queue, edge_secret=secret, version=version, tag=tag)
            known = _hears(known, _said_url(told))
        _keep(home, known)
    except (KeyError, OSError) as error:
        raise BranchError(f"What the centre answered can't be kept ({error}).", "Make room there.") from error
    return bool(told)


def _said_url(told: Mapping[str, Any]) -> str:
    try:
        return _address(str(told.get("url") or ""))
    except BranchError:  # a centre of before told none
        return ""


def _hears(known: Membership, url: str) -> Membership:
    """Only a change of the centre's word is a move: who joined by another address was given that on purpose."""
    if not url or url == known.centre_url:
        return known
    moved = bool(known.centre_url) and url != known.url
    return replace(known, centre_url=url, moves_to=url if moved else "")


def _moved(home: Home, known: Membership) -> Membership:
    """At the centre's next address, as soon as it answers there; by the same authority, so it can be nobody else."""
    if not known.moves_to:
        return known
    there = replace(known, url=known.moves_to, moves_to="")
    try:
        with _own_client(home, there) as client:
            _ask(client, "GET", "/branch/config")
        _keep(home, there)
    except (BranchError, OSError):  # it is told of by move_note, and tried again with the next word
        return known
    log.warning("The centre has moved from %s to %s, and so does this branch.", known.url, there.url)
    return there


def renew_if_due(home: Home, now: datetime) -> bool:
    """Ask for the next certificate once two thirds of this one's time are over. Returns whether there is a new one; it
    counts for what is started from now on. Raises BranchError (BranchRefused, BranchUnreachable)."""
    found, known = _own_certificate(home), load(home)
    now += timedelta(seconds=known.clock_off_s)  # its time is the centre's: by a clock that stood still it never ends
    if now < found.not_valid_before_utc + (found.not_valid_after_utc - found.not_valid_before_utc) * 2 / 3:
        return False
    own = folder(home)
    with _own_client(home, known) as client:
        told, _ = _ask(client, "POST", "/branch/renew", json=_says(_key(own / "key.pem", now), now))
    try:
        put(own / "certificate.pem", str(told["certificate"]))
    except (KeyError, OSError) as error:
        raise BranchError(f"The new certificate can't be kept ({error}).", "Make room there.") from error
    return True


def _facts(told: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    site, worker, queue, secret, version = (
        str(told[key]) for key in ("site", "worker", "queue", "edge_secret", "version")
    )
    return site, worker, queue, secret, version


def _taken(known: Membership, told: Mapping[str, Any], now: datetime) -> Membership:
    """now: by this machine's clock, in the middle between question and answer."""
    try:
        off = (datetime.fromisoformat(str(told["time"])) - now).total_seconds()
    except (KeyError, ValueError, TypeError):
        return known
    return replace(known, clock_off_s=round(off, 1), asked_at=now.isoformat())


def _keep(home: Home, known: Membership) -> None:
    put(folder(home) / "branch.json", json.dumps(asdict(known), indent=1) + "\n")


def _says(key: ec.EllipticCurvePrivateKey, now: datetime) -> dict[str, str]:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return {
        "request": request.public_bytes(serialization.Encoding.PEM).decode(),
        "machine": socket.gethostname(),
        "version": vms.__version__,
        "time": now.isoformat(),
    }


def _key(path: Path, now: datetime) -> ec.EllipticCurvePrivateKey:
    """The key in this file; one is made when there is none. One that was left by a join long ago is not used again."""
    try:
        if path.name != "joining.pem" or now.timestamp() - path.stat().st_mtime < 86_400:
            found = serialization.load_pem_private_key(path.read_bytes(), password=None)
            if isinstance(found, ec.EllipticCurvePrivateKey):
                return found
    except (OSError, ValueError):
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        put(path, private_pem(key))
    except OSError as error:
        raise BranchError(f"{path} can't be written ({error.strerror}).", "Give this user the right to.") from error
    return key


def _own_certificate(home: Home) -> x509.Certificate:
    path = folder(home) / "certificate.pem"
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BranchError(f"This machine has no certificate as a branch ({path}).", _JOIN_FIRST) from error


def _address(url: str) -> str:
    parts = urlsplit(url.strip().rstrip("/"))
    if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.username:
        raise BranchError(
            f"{url} is no address of a centre.", "It looks like https://cctv.example.co.id:8444, as the centre printed."
        )
    return parts.geturl()


def _authority(url: str, invited: Invitation) -> str:
    """The centre's authority, after the token says that it is the right one. Nothing is told to whoever answers yet."""
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    with httpx.Client(base_url=url, verify=careless, timeout=_TIMEOUT) as client:
        answer = _send(client, "GET", "/branch/authority")
    try:
        found = x509.load_pem_x509_certificate(answer.content)
    except ValueError as error:
        raise _not_the_port(url, answer) from error
    if not hmac.compare_digest(pin_of(found), invited.pin):
        raise BranchError(
            f"Whoever answers at {url} is not the centre that made this token.",
            "Do not go on before you know who that is: a wrong address, or somebody in between.",
        )
    return answer.text


def _client(url: str, *, trusted: Path, pair: tuple[Path, Path] | None = None) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(trusted))
    if pair:
        context.load_cert_chain(*pair)
    return httpx.Client(base_url=url, verify=context, timeout=_TIMEOUT)


def _own_client(home: Home, known: Membership) -> httpx.Client:
    own = folder(home)
    try:
        return _client(known.url, trusted=own / "authority.pem", pair=(own / "certificate.pem", own / "key.pem"))
    except (OSError, ssl.SSLError) as error:
        raise BranchError(f"The certificate in {own} can't be used ({error}).", _JOIN_FIRST) from error


def _ask(client: httpx.Client, method: str, path: str, **content: Any) -> tuple[dict[str, Any], str]:
    """The answer and its tag; nothing when nothing changed. Raises BranchError with the centre's own words."""
    answer = _send(client, method, path, **content)
    if answer.status_code == 304:
        return {}, ""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise _not_the_port(str(client.base_url), answer)
    if answer.is_success:
        return told, answer.headers.get("etag", "")
    # Only the centre's own no is one: a mistake in its sites.yaml, or too many asking at once, is over some time.
    kind = BranchRefused if answer.status_code in (401, 403) else BranchUnreachable
    raise kind(str(told.get("error") or told.get("detail") or answer.status_code), str(told.get("remedy", "")))


def _send(client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
    url = str(client.base_url)
    try:
        return client.request(method, path, **content)
    except httpx.HTTPError as error:
        said = str(error)
        if "certificate is not yet valid" in said or "certificate has expired" in said:
            raise BranchUnreachable(
                f"The certificate of {url} does not count; the clock here says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
                "If that is wrong, set the clock (NTP). If it is right, restart the centre, which renews its own.",
            ) from error
        if "CERTIFICATE_VERIFY_FAILED" in said:
            raise BranchUnreachable(  # also what a hotel's sign-in page in the middle looks like
                f"{url} has no certificate of this branch's centre for this name ({said}).",
                "Use the address that the centre printed; there, VMS_BRANCH_URL says it, and a restart takes it over.",
            ) from error
        raise BranchUnreachable(
            f"The centre does not answer at {url} ({said or type(error).__name__}).",
            "Check the address, the line, and that the firewalls of both sides let this port out and in.",
        ) from error


def _not_the_port(url: str, answer: httpx.Response) -> BranchError:
    return BranchUnreachable(
        f"What answers at {url} is not a centre's port for branches (status {answer.status_code}).",
        "The port is 8444 unless the centre says otherwise; is its profile tls running?",
    )
