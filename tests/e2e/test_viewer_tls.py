"""The viewer with TLS of its own and behind a proxy, by real connections: who it answers, and whom it believes."""

from __future__ import annotations

import datetime
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from browser_world import NEEDS_BROWSER, new_page, served
from viewer_world import PASSWORD, add_user, owner
from vms.home import Home

pytestmark = [pytest.mark.slow]

FORM = r'name="form" value="([0-9a-f]+)"'


def _certificate(folder: Path) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {
        "VMS_VIEWER_TLS_CERT": str(folder / "cert.pem"),
        "VMS_VIEWER_TLS_KEY": str(folder / "key.pem"),
    }


@NEEDS_BROWSER
def test_over_tls_the_cookie_is_secure_and_the_page_works(
    catalogue: tuple[Home, str], tmp_path: Path, browser: Any
) -> None:
    home = catalogue[0]
    with served(home, tmp_path, _certificate(tmp_path), scheme="https") as viewer:
        add_user(home, "budi")
        page = new_page(browser, viewer, signed_in=False, locale="en-GB", ignore_https_errors=True)
        page.goto(viewer.url)
        page.locator("#name").fill("budi")
        page.locator("#password").fill(PASSWORD)
        page.locator("button").click()
        page.wait_for_selector(".card")
        (cookie,) = [one for one in page.context.cookies() if one["name"].startswith("__Host-vms_")]
        assert (cookie["secure"], cookie["httpOnly"], cookie["path"], cookie["sameSite"]) == (True, True, "/", "Lax")
        page.locator(".card").first.click()
        page.locator("video").wait_for()


def test_only_a_known_proxy_is_believed(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    home = catalogue[0]
    host = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    lan = next((one for one in host if "." in one), "")
    more = {"VMS_VIEWER_HOST": "0.0.0.0", "VMS_VIEWER_NAMES": "cctv.example", "VMS_VIEWER_PROXIES": "127.0.0.1"}  # noqa: S104
    with served(home, tmp_path, more) as viewer, httpx.Client(trust_env=False, timeout=120) as client:
        told = {"Host": "cctv.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
        answer = client.get(f"{viewer.url}/sign-in", headers=told)
        assert answer.status_code == 200
        assert "Secure" in answer.headers["set-cookie"]
        assert client.get(f"{viewer.url}/sign-in", headers={"Host": "cctv.example"}).status_code == 403, "no TLS at all"
        assert client.get(f"{viewer.url}/sign-in", headers=told | {"Host": "evil.example"}).status_code == 421
        client.post(f"{viewer.url}/sign-in", headers=told, data={"name": "x"})
        if lan and lan != "127.0.0.1":
            url = viewer.url.replace("127.0.0.1", lan)
            assert client.get(f"{url}/sign-in", headers=told).status_code == 403, "it is no proxy of ours"
        _sign_in(client, viewer.url, told)
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT DISTINCT address FROM view_log WHERE action LIKE 'sign_in%'")
        assert cursor.fetchall() == [("198.51.100.7",)]


def test_without_a_proxy_nobody_is_believed(catalogue: tuple[Home, str], tmp_path: Path) -> None:
    home = catalogue[0]
    with served(home, tmp_path) as viewer, httpx.Client(trust_env=False, timeout=120) as client:
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
        _sign_in(client, viewer.url, told)
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT DISTINCT address FROM view_log WHERE action LIKE 'sign_in%'")
        assert cursor.fetchall() == [("127.0.0.1",)], "else each try could come from another address"


def _sign_in(client: httpx.Client, url: str, headers: dict[str, str]) -> None:
    page = client.get(f"{url}/sign-in", headers=headers)
    found = re.search(FORM, page.text)
    assert found
    cookies = page.headers["set-cookie"].partition(";")[0]
    form = {"form": found.group(1), "name": "nobody", "password": PASSWORD}
    answer = client.post(f"{url}/sign-in", headers=headers | {"Cookie": cookies}, data=form)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
