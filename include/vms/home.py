"""Where everything of one installation lies, and this machine's settings: the one place that reads VMS_* variables.

`VMS_HOME` (default `.vms/` beside the code) holds all state: delete it and the next start begins anew. What the company
wants (sites, stores, profiles) is in sites.yaml, see `vms.config`; here is only what differs from machine to machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from vms.errors import ConfigError

BRANCHES_PORT = 8444
"""On which the proxy of the containers answers branches."""

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_GIVEN = "VMS_SECRET_"
_UNKNOWN = "?"
"""The name of a branch whose branch.json is damaged."""


@dataclass(frozen=True)
class ViewerPlace:
    """Where the viewer listens, and who stands before it. names: by which people reach it, beside this machine's own.

    certificate, key: files for TLS, None for none. proxies: addresses or networks whose word about who asks is taken.
    """

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        return self.host == "localhost" or ip_address(self.host).is_loopback

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def origins(self, port: int) -> tuple[str, ...]:
        """As browsers call its pages. port: on which it listens; a proxy before it has https on the usual one."""
        if not self.names:
            return tuple(f"{self.scheme}://{name}:{port}" for name in ("127.0.0.1", "localhost"))
        behind = f":{port}" if self.certificate and port != 443 else ""
        return tuple(f"https://{f'[{name}]' if ':' in name else name}{behind}" for name in self.names)

    @property
    def reached_at(self) -> str:
        """The address by which this machine itself reaches it."""
        if self.host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            return "127.0.0.1"
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True)
class Parts:
    """Where the other parts are, when each runs in a container of its own. airflow: how they reach Airflow's API;
    pages, viewer: how people reach Airflow and the viewer; broker: the Redis that hands tasks to the workers; s3: the
    S3 server, "" for none; branches: how branches reach the proxy, "" where nobody has said it."""

    airflow: str
    pages: str
    viewer: str
    broker: str = field(repr=False)
    s3: str = ""
    branches: str = ""
    viewer_inside: str = "http://viewer:5000"
    """How the other parts reach the viewer."""
    postgres: tuple[str, int] | None = None
    """Host and port of the database's server: what all parts can write must not say where passwords are sent."""

    @property
    def branch_address(self) -> str:
        """How branches reach the proxy; where nobody has said it, by the viewer's name."""
        host = urlsplit(self.viewer).hostname or "localhost"
        return self.branches or f"https://{f'[{host}]' if ':' in host else host}:{BRANCHES_PORT}"


@dataclass(frozen=True)
class Home:
    """The state folder and this machine's settings. Paths are absolute; nothing is created until `prepare`."""

    root: Path
    sites_file: Path
    viewer_port: int
    airflow_port: int
    postgres_url: str
    ffmpeg: str
    ffprobe: str
    demo: bool
    with_s3: bool
    """Whether the demonstration has its own S3 server."""
    s3_port: int
    """Of that server; 0: one that is free."""
    place: ViewerPlace = ViewerPlace()
    parts: Parts | None = None
    """None: all of it runs on this machine, as children of one launcher."""
    branch: str = ""
    """The site whose tasks are done here, at a branch; "": this is no branch."""
    backups_folder: Path | None = None
    """Where backups lie; None: in the state folder."""
    given: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Secrets that the environment gives; the others are kept in `secrets`."""

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pid and state files of the running stack."""
        return self.root / "run"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def connections(self) -> Path:
        """How stores are reached, see `vms.stores.connections`."""
        return self.secrets / "connections.json"

    @property
    def branches(self) -> Path:
        """What the centre shows to branches, and its proxy needs for them, see `vms.branches.authority`."""
        return self.root / "branches"

    @property
    def nas(self) -> Path:
        """The default store, for a first try without a NAS."""
        return self.root / "nas"

    @property
    def backups(self) -> Path:
        """Dumps of the catalogue, see `vms.backups`."""
        return self.backups_folder or self.root / "backups"

    @property
    def exports(self) -> Path:
        """What people have ordered in the viewer, see `vms.exports.worker`."""
        return self.root / "exports"

    @property
    def demo_footage(self) -> Path:
        return self.root / "demo"

    @property
    def demo_s3(self) -> Path:
        """The objects of the demonstration's S3 server."""
        return self.root / "demo-s3"

    @property
    def cache(self) -> Path:
        """What may be deleted at any time: viewer posters, look-up files."""
        return self.root / "cache"

    def site_staging(self, site: str) -> Path:
        return self.staging / site

    def prepare(self) -> None:
        """Make the state folder. Raises ConfigError when it can't be written."""
        try:
            for folder in (self.root, self.logs, self.run, self.staging, self.secrets, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            self.secrets.chmod(0o700)
            if not self.connections.exists():
                with contextlib.suppress(FileExistsError), open(self.connections, "x", opener=_private) as fresh:
                    fresh.write("{}\n")  # there to be filled in, with the right mode
        except OSError as error:
            raise ConfigError(
                f"The state folder {self.root} can't be written ({error.strerror}).",
                "Give this user the right to write there, or set VMS_HOME to a folder that it may write to.",
            ) from error

    def secret(self, name: str, length: int = 32) -> str:
        """The secret of this name: VMS_SECRET_<NAME>, else generated at first use (URL-safe text, mode 0600)."""
        for known, value in self.given:
            if known == name:
                return value
        path = self.secrets / name
        if not path.exists():
            self.prepare()
            fresh = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.new")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(length))
            try:
                os.link(fresh, path)  # the first of two starters wins; both read the same file afterwards
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return path.read_text().strip()


def from_environment(environ: dict[str, str] | None = None) -> Home:
    """The installation that VMS_HOME, VMS_SITES, VMS_VIEWER_PORT, VMS_AIRFLOW_PORT, VMS_POSTGRES_URL, VMS_FFMPEG,
    VMS_FFPROBE, VMS_BACKUPS, VMS_DEMO, VMS_DEMO_S3, VMS_S3_PORT, VMS_BRANCH, VMS_VIEWER_*, VMS_PARTS_* and
    VMS_SECRET_* name.

    Raises ConfigError when a value does not fit.
    """
    env = dict(os.environ if environ is None else environ)
    root = Path(env.get("VMS_HOME") or PROJECT_ROOT / ".vms").expanduser().absolute()
    demo = env["VMS_DEMO"] != "0" if env.get("VMS_DEMO") else bool(_remembered(root, "demo"))
    with_s3 = env["VMS_DEMO_S3"] != "0" if env.get("VMS_DEMO_S3") else bool(_remembered(root, "with_s3"))
    default_sites = root / "demo-sites.yaml" if demo else PROJECT_ROOT / "sites.yaml"
    parts = _parts(env)
    joined_as = "" if parts else _branch_of(root)  # what shares a centre's state folder must not make a branch of it
    if joined_as:
        default_sites = root / "branch" / "sites.yaml"  # what the centre says of this site
    return Home(
        root=root,
        sites_file=Path(env.get("VMS_SITES") or default_sites).expanduser().absolute(),
        viewer_port=_port(env, "VMS_VIEWER_PORT", _remembered(root, "viewer_port") or 5000),
        airflow_port=_port(env, "VMS_AIRFLOW_PORT", _remembered(root, "airflow_port") or 8080),
        postgres_url=env.get("VMS_POSTGRES_URL", ""),
        ffmpeg=env.get("VMS_FFMPEG", ""),
        ffprobe=env.get("VMS_FFPROBE", ""),
        demo=demo,
        with_s3=demo and with_s3,
        place=_viewer_place(env),
        s3_port=_port(env, "VMS_S3_PORT", 0, highest=55_535) if env.get("VMS_S3_PORT") else 0,
        parts=parts,
        branch=env.get("VMS_BRANCH") or joined_as,
        backups_folder=Path(env["VMS_BACKUPS"]).expanduser().absolute() if env.get("VMS_BACKUPS") else None,
        given=tuple((k.removeprefix(_GIVEN).lower(), v) for k, v in sorted(env.items()) if k.startswith(_GIVEN) and v),
    )


def remember_mode(home: Home) -> None:
    """Note whether the demonstration runs here and on which ports the pages are, so that later commands mean the same.

    Its S3 server is remembered through starts without the demonstration: what it holds are copies of recordings.
    """
    with_s3 = home.with_s3 if home.demo else bool(_remembered(home.root, "with_s3"))
    ports = {"viewer_port": home.viewer_port, "airflow_port": home.airflow_port}
    fresh = home.run / f"mode.{os.getpid()}.new"
    fresh.write_text(json.dumps({"demo": home.demo, "with_s3": with_s3} | ports))
    fresh.replace(home.run / "mode.json")  # whole at any moment: half of it would mean another installation


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _remembered(root: Path, what: str) -> int:
    """What `remember_mode` noted; 0, which is also no, when it noted nothing."""
    try:
        return int(json.loads((root / "run" / "mode.json").read_text())[what])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _branch_of(root: Path) -> str:
    """The site whose branch this state folder is, see `vms.branches.membership`; "" when it is none.

    Raises ConfigError when that can't be known.
    """
    noted = root / "branch" / "branch.json"
    try:
        return str(json.loads(noted.read_text(encoding="utf-8"))["site"])
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(
            f"{noted} can't be read ({error.strerror}).",
            "Give the command as the user as whom the agent runs.",
        ) from error
    except (ValueError, KeyError, TypeError):
        return _UNKNOWN


def _viewer_place(env: dict[str, str]) -> ViewerPlace:
    """From this machine alone unless VMS_VIEWER_HOST says otherwise; then passwords must not cross the network bare."""
    host = env.get("VMS_VIEWER_HOST") or "127.0.0.1"
    names, proxies = (_list(env.get(f"VMS_VIEWER_{name}", "")) for name in ("NAMES", "PROXIES"))
    files = [env.get(f"VMS_VIEWER_TLS_{name}", "") for name in ("CERT", "KEY")]
    certificate, key = (Path(one).expanduser().absolute() if one else None for one in files)
    try:
        is_loopback = ViewerPlace(host).is_loopback
        for one in proxies:
            ip_network(one)
    except ValueError as error:
        raise ConfigError(
            f"VMS_VIEWER_HOST or VMS_VIEWER_PROXIES holds what is no address ({error}).",
            "Give an address of this machine, such as 0.0.0.0 for all of them; for proxies addresses or networks.",
        ) from None
    if (certificate is None) != (key is None):
        raise ConfigError("TLS needs two files.", "Set both VMS_VIEWER_TLS_CERT and VMS_VIEWER_TLS_KEY, or neither.")
    for file in (certificate, key):
        if file is not None and not os.access(file, os.R_OK):
            raise ConfigError(f"The TLS file {file} can't be read.", "Check VMS_VIEWER_TLS_CERT, VMS_VIEWER_TLS_KEY.")
    if not is_loopback and certificate is None and not proxies:
        raise ConfigError(
            f"VMS_VIEWER_HOST is {host}, but there is no TLS: passwords would cross the network for all to read.",
            "Set VMS_VIEWER_TLS_CERT and VMS_VIEWER_TLS_KEY, or VMS_VIEWER_PROXIES; a proxy then does the TLS.",
        )
    if not is_loopback and not names:
        raise ConfigError(
            f"VMS_VIEWER_HOST is {host}, but no name is known by which people reach the viewer.",
            "Set VMS_VIEWER_NAMES to what they type, such as cctv.example.co.id,192.168.1.10.",
        )
    return ViewerPlace(host, names, certificate, key, proxies)


def _parts(env: dict[str, str]) -> Parts | None:
    airflow = env.get("VMS_PARTS_AIRFLOW", "")
    if not airflow:
        return None
    pages, viewer, broker, s3 = (env.get(f"VMS_PARTS_{name}", "") for name in ("PAGES", "VIEWER", "BROKER", "S3"))
    branches = env.get("VMS_PARTS_BRANCHES", "").rstrip("/")
    inside = env.get("VMS_PARTS_VIEWER_INSIDE") or Parts.viewer_inside
    return Parts(airflow, pages or airflow, viewer, broker, s3, branches, inside, _server(env))


def _server(env: dict[str, str]) -> tuple[str, int] | None:
    text = env.get("VMS_PARTS_POSTGRES", "")
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"VMS_PARTS_POSTGRES is {text!r}, which is no server.", "Set it to its HOST:PORT.")
    return host, int(port)  # an IPv6 address in brackets, as in a URL


def _list(text: str) -> tuple[str, ...]:
    return tuple(one for one in (part.strip().lower() for part in text.split(",")) if one)


def _port(env: dict[str, str], name: str, default: int, highest: int = 65_535) -> int:
    text = env.get(name, "") or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        raise ConfigError(f"{name} is {text!r}, which is no port number.", f"Set it to a number from 1 to {highest}.")
    return int(text)
