"""A branch joins, for real: `vms branch join` through a real nginx with the product's nginx.conf to Airflow itself.

Needs nginx on the machine (`apt-get install nginx-light`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import branch_clients
import branch_server
from branch_world import NOW, Server, edge_token, serving, task_token
from catalogue_world import opened
from viewer_world import eventually
from vms.branches import agent, authority, invitation, membership
from vms.catalogue import branches
from vms.catalogue.connection import fetch_all
from vms.cli.app import main
from vms.config import load_config
from vms.errors import BranchError, BranchRefused, BranchUnreachable
from vms.home import PROJECT_ROOT, Home, from_environment
from vms_airflow.branch_api import ASKED_AT_MOST, Limit, TooMany

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONF = PROJECT_ROOT / "include" / "vms" / "stack" / "nginx.conf"
SITES = """
defaults: {{ stores: [cloud], time_zone: WIB }}
stores: {{ cloud: {{ url: "s3://company/archive", conn_id: company_s3 }}, nas: {{ url: "file:///mnt/nas" }} }}
sites: [{{ id: jkt, footage: {0}/jkt, runs_on: edge }}, {{ id: mks, footage: {0}/mks, stores: [nas] }}]
"""


@dataclass(frozen=True)
class Centre:
    """The whole centre as it is reached: https at three ports."""

    home: Home
    address: str
    server: Server
    pages: int
    port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def invite(self, site: str = "jkt", until: datetime | None = None) -> str:
        made = invitation.invite(site, authority.authority(self.home, NOW).pin)
        now = datetime.now(UTC)
        with opened(self.address) as conn:
            branches.invite(conn, site, made.hashed, until or now + timedelta(days=1), "ani", now)
        return made.text


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def nginx_conf(folder: Path, centre: Home, api: int, ports: list[int]) -> Path:
    """The product's own, with the places of this machine in it."""
    text = CONF.read_text()
    for there, here in (
        ("listen 443 ", f"listen 127.0.0.1:{ports[0]} "),
        ("listen 8443 ", f"listen 127.0.0.1:{ports[1]} "),
        ("listen 8444 ", f"listen 127.0.0.1:{ports[2]} "),
        ("http://viewer:5000", f"http://127.0.0.1:{api}"),
        ("http://api-server:8080", f"http://127.0.0.1:{api}"),
        ("/config/tls/cert.pem", str(centre.branches / "server.pem")),
        ("/config/tls/key.pem", str(centre.branches / "server.key")),
        (" /branches/", f" {centre.branches}/"),
    ):
        assert there in text, there
        text = text.replace(there, here)
    (folder / "site.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    kept = "\n".join(f"    {what}_temp_path {folder}/{what};" for what in kinds)
    path = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(
        f"{user}\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{kept}\n    include {folder}/site.conf;\n}}\n"
    )
    return path


@pytest.fixture(scope="module")
def centre(new_catalogue: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    if NGINX is None:
        pytest.fail("there is no nginx here: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("centre")
    home, address = new_catalogue(folder)
    home.sites_file.write_text(SITES.format(folder))
    own = authority.authority(home, NOW)
    authority.prepare_port(home, own, ("localhost",), NOW)
    ports = free_ports(3)
    with serving(tmp_path_factory.mktemp("airflow"), home, address, VMS_SITES=str(home.sites_file)) as server:
        conf = nginx_conf(folder, home, server.port, ports)
        child = subprocess.Popen([NGINX, "-c", str(conf), "-p", str(folder)], stderr=subprocess.PIPE)
        try:
            made = Centre(home, address, server, ports[1], ports[2])
            eventually(lambda: _answers(child, ports[2]))
            yield made
        finally:
            child.terminate()
            child.wait(30)


def _answers(child: subprocess.Popen[bytes], port: int) -> bool:
    if child.poll() is not None:
        assert child.stderr is not None
        raise AssertionError(child.stderr.read().decode())
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A machine that has not joined yet."""
    for name in ("VMS_SITES", "VMS_CATALOGUE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "branch"))
    return from_environment()


def test_a_machine_joins_renews_follows_sites_yaml_and_is_shut_out(
    centre: Centre, branch: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # would let nobody through
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert main(["branch", "join", centre.url, centre.invite(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["site"], told["centre"], told["connections_file"]) == ("jkt", centre.url, str(branch.connections))
    assert main(["branch", "join", f"{centre.url}/", centre.invite()]) == 0, "once more, by another invitation"
    said = capsys.readouterr().out
    assert f"This machine is the branch jkt of {centre.url}" in said
    assert "sudo --preserve-env=HTTPS_PROXY,NO_PROXY ./vms branch install" in said
    own = membership.folder(branch)
    assert {path.name: path.stat().st_mode & 0o777 for path in own.iterdir()} == dict.fromkeys(
        ("key.pem", "certificate.pem", "authority.pem", "branch.json", "sites.yaml"), 0o600
    )
    assert own.stat().st_mode & 0o777 == 0o700
    known = membership.load(branch)
    assert (known.site, known.worker, known.queue) == ("jkt", "branch-jkt", "site-jkt")
    assert known.edge_secret == centre.home.secret("airflow_jwt", 64)
    assert not known.clock_warning
    now_read = from_environment()
    assert [site.id for site in load_config(now_read.sites_file).sites] == ["jkt"]
    assert "mks" not in now_read.sites_file.read_text()

    assert membership.fetch_sites(branch), "the first time there is no tag yet"
    assert not membership.fetch_sites(branch)
    centre.home.sites_file.write_text(centre.home.sites_file.read_text().replace("WIB", "WITA"))
    assert membership.fetch_sites(branch)
    assert load_config(now_read.sites_file).site("jkt").time_zone == "Asia/Makassar"

    first = (own / "certificate.pem").read_text()
    assert not membership.renew_if_due(branch, datetime.now(UTC) + timedelta(days=55))
    assert membership.renew_if_due(branch, datetime.now(UTC) + timedelta(days=65))
    assert (own / "certificate.pem").read_text() != first
    assert not membership.fetch_sites(branch), "the new certificate counts as the old one did"

    with pytest.raises(BranchError, match="used already"):
        membership.join(from_environment({"VMS_HOME": str(branch.root / "thief")}), centre.url, _used(centre), NOW)
    with opened(centre.address) as conn:
        branches.revoke(conn, "jkt", "ani", datetime.now(UTC))
    eventually(lambda: _is_refused(branch))
    with pytest.raises(BranchRefused, match="does not count any more"):
        membership.fetch_sites(branch)


def _used(centre: Centre) -> str:
    """A token that another machine has used since."""
    text = centre.invite()
    made = invitation.read_token(text)
    with opened(centre.address) as conn:
        who = branches.Asker("192.0.2.1", "other", "1", b"k" * 32)
        until = datetime.now(UTC) + timedelta(days=1)
        branches.join(conn, "jkt", made.hashed, who, lambda: authority.Issued("", "abc123", until), datetime.now(UTC))
    return text


def _is_refused(branch: Home) -> bool:
    try:
        membership.fetch_sites(branch)
    except BranchRefused:
        return True
    return False


def test_a_line_that_breaks_while_joining_costs_no_token(
    centre: Centre, branch: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = centre.invite()
    whole = membership._ask

    def broken(*args: Any, **more: Any) -> Any:
        whole(*args, **more)
        raise BranchUnreachable("the line broke after the centre had answered")

    monkeypatch.setattr(membership, "_ask", broken)
    with pytest.raises(BranchUnreachable):
        membership.join(branch, centre.url, token, datetime.now(UTC))
    assert not membership.is_joined(branch)
    monkeypatch.setattr(membership, "_ask", whole)
    kept = membership._keep

    def killed(*_: Any) -> None:
        raise BranchError("killed")

    monkeypatch.setattr(membership, "_keep", killed)
    with pytest.raises(BranchError, match="killed"):
        membership.join(branch, centre.url, token, datetime.now(UTC))
    monkeypatch.setattr(membership, "_keep", kept)
    assert membership.join(branch, centre.url, token, datetime.now(UTC)).site == "jkt"


def test_joining_says_what_is_wrong(centre: Centre, branch: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def said(url: str, token: str) -> str:
        assert main(["branch", "join", url, token]) == 1
        assert not membership.is_joined(branch)
        return capsys.readouterr().err

    good = centre.invite()
    assert "not a whole token" in said(centre.url, good[:-3])
    assert "no address of a centre" in said(centre.url.replace("https", "http"), good)
    assert "is not the centre that made this token" in said(centre.url, good[:-64] + "0" * 64)
    assert "does not answer" in said(f"https://localhost:{free_ports(1)[0]}", good)
    assert "is not a centre's port for branches" in said(f"https://localhost:{centre.pages}", good)
    site, secret, pin = good.split(".")
    assert "lets nobody join for the site jkt" in said(centre.url, f"{site}.{'x' * len(secret)}.{pin}")
    assert "There is no site 'bdg'" in said(centre.url, f"bdg.{secret}.{pin}")
    over = centre.invite(until=datetime.now(UTC) - timedelta(minutes=1))
    assert "This token ended on" in said(centre.url, over)
    assert "lets nobody join" in said(centre.url, good), "a newer one was made since"


def test_a_clock_that_is_off_is_told_and_no_hindrance(centre: Centre, branch: Home) -> None:
    made = membership.join(branch, centre.url, centre.invite(), datetime.now(UTC) - timedelta(minutes=10))
    assert re.search(r"1\d minutes behind the centre's", made.clock_warning), "10, and what the line took"
    membership.fetch_sites(branch)
    assert membership.load(branch).clock_warning == "", "it was set since"

    # When the next certificate is due is reckoned by the centre's clock: by another it would never be, or always
    away = timedelta(days=65)
    for by, renewed in ((away, True), (-away, False)):
        membership._keep(branch, replace(membership.load(branch), clock_off_s=by.total_seconds()))
        here = datetime.now(UTC) - (timedelta() if renewed else by)
        assert membership.renew_if_due(branch, here) is renewed


def test_tries_to_join_are_limited(centre: Centre) -> None:
    """Last of those that join: the limit holds for ten minutes."""
    trusted = centre.home.branches / "authority.pem"
    with httpx.Client(base_url=centre.url, verify=ssl.create_default_context(cafile=str(trusted))) as client:
        body = {"token": "jkt." + "x" * 43 + "." + "0" * 64, "request": "x"}
        statuses = [client.post("/branch/join", json=body).status_code for _ in range(40)]
        assert statuses[0] == 403
        assert statuses[-1] == 429
        assert client.post("/branch/join", content=b"x" * 70_000).status_code in (413, 429)
        assert client.get("/branch/health").status_code == 200, "who joined is not touched by it"


def test_whoever_tries_again_and_again_keeps_nobody_else_from_joining() -> None:
    limit = Limit()
    for number in range(ASKED_AT_MOST):
        limit.ask(f"192.0.2.{number}")
        limit.note_wrong(f"192.0.2.{number}")
    with pytest.raises(TooMany):
        limit.ask("192.0.2.1")
    limit.ask("198.51.100.1")


def test_the_ports_let_through_what_is_theirs(centre: Centre, tmp_path: Path) -> None:
    own = authority.authority(centre.home, NOW)
    trusted = str(centre.home.branches / "authority.pem")
    fakes = {
        "X-VMS-Branch-Proxy": own.proxy,
        "X-VMS-Branch-Verify": "SUCCESS",
        "X-VMS-Branch-Serial": "A1",
        "X-VMS-Branch-Name": "jkt",
    }
    with httpx.Client(verify=ssl.create_default_context(cafile=trusted)) as client:
        pages = f"https://localhost:{centre.pages}"
        assert client.get(f"{pages}/api/v2/version", headers=fakes).status_code == 200, "nobody hears the fakes"
        for path in ("/execution/health", "/edge_worker/v1/health", "/branch/health", "//branch/health"):
            assert client.get(pages + path, headers=fakes).status_code in (403, 404)
        for path in ("/edge_worker/v1/health", "/execution/health", "/branch/config", "/branch/elsewhere"):
            answer = client.get(centre.url + path, headers=fakes | {"Authorization": edge_token("health")})
            assert answer.status_code == 403
            assert "certificate" in answer.json()["detail"]
        for path in ("/", "/api/v2/version", "/auth/token", "/edge_worker/ui/worker", "/branchx"):
            assert client.get(centre.url + path, headers=fakes).status_code == 404
        for path in ("/branch/health/", "/branch/./health", "/branch/x/../config", "/execution/%2e%2e/api/v2/version"):
            raw = _raw(centre, trusted, path)
            assert raw.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404", b"HTTP/1.1 400")), raw
    before = datetime.now(UTC) - timedelta(days=100)
    key = ec.generate_private_key(ec.SECP256R1())
    request, _ = authority.read_request(membership._says(key, NOW)["request"])
    (tmp_path / "key.pem").write_text(authority.private_pem(key))
    (tmp_path / "old.pem").write_text(authority.issue(own, request, "jkt", before).pem)
    context = ssl.create_default_context(cafile=trusted)
    context.load_cert_chain(tmp_path / "old.pem", tmp_path / "key.pem")
    with httpx.Client(verify=context) as client:
        answer = client.get(f"{centre.url}/edge_worker/v1/health")
        assert (answer.status_code, "over" in answer.json()["remedy"]) == (403, True)
    with opened(centre.address) as conn:
        told = fetch_all(conn, "SELECT count(*) FROM view_log WHERE action = 'branch_joined'", [])
    assert told


def _raw(centre: Centre, trusted: str, path: str) -> bytes:
    """The first bytes of the answer to a path that no client would send as it is."""
    context = ssl.create_default_context(cafile=trusted)
    with (
        socket.create_connection(("127.0.0.1", centre.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as one,
    ):
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return one.recv(64)


def test_a_machine_that_joined_nothing_says_so(branch: Home) -> None:
    with pytest.raises(BranchError, match="has not joined") as missing:
        membership.load(branch)
    assert "vms branch invite SITE" in missing.value.remedy
    membership.folder(branch).mkdir(parents=True)
    (membership.folder(branch) / "branch.json").write_text(json.dumps({"site": "jkt"}))
    with pytest.raises(BranchError, match="can't be read"):
        membership.load(branch)


REFUSED = {"fetch all", "connection", "variable", "skip others", "foreign"}


def test_what_airflows_own_clients_say_at_a_branch_is_let_in(centre: Centre, branch: Home) -> None:
    """By their own words on the line; how Airflow then answers of a task that it half knows is its business."""
    with opened(centre.address) as conn:  # whoever was the branch before is out, and its tries are not counted
        token = centre.invite()
        made = invitation.read_token(token)
        key = ec.generate_private_key(ec.SECP256R1())
        request, public = authority.read_request(membership._says(key, NOW)["request"])
        own = authority.authority(centre.home, NOW)
        who = branches.Asker("127.0.0.1", "nvr", "1", public)
        now = datetime.now(UTC)
        issued, _ = branches.join(conn, "jkt", made.hashed, who, lambda: authority.issue(own, request, "jkt", now), now)
    folder = membership.folder(branch)
    branch.prepare()
    folder.mkdir()
    for name, text in (
        ("certificate.pem", issued.pem),
        ("key.pem", authority.private_pem(key)),
        ("authority.pem", own.pem),
    ):
        authority.put(folder / name, text)
    joined = membership.Membership(centre.url, "jkt", "branch-jkt", "site-jkt", branch_server.SECRET, "1", "")
    environment = agent.worker_environment(branch, joined) | {
        "AIRFLOW__EDGE__API_RETRIES": "1",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
    }
    number = branch_server.task_id("mine")
    done = subprocess.run(
        [sys.executable, branch_clients.__file__, number, task_token("mine")],
        env=environment, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ended = json.loads(done.stdout.splitlines()[-1])
    assert {name for name, status in ended.items() if status == 403} == REFUSED, ended
    assert not [status for status in ended.values() if not isinstance(status, int)], ended
    assert {ended[name] for name in ("register", "beat", "fetch", "job")} == {200}, ended
