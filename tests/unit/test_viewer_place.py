"""Where the viewer may listen: never where passwords would cross a network bare, never under a name nobody gave."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from viewer.security import Guard
from vms.errors import ConfigError
from vms.home import Home, from_environment
from vms.stack.addresses import viewer_url


def _home(folder: Path, **settings: str) -> Home:
    return from_environment({"VMS_HOME": str(folder)} | {f"VMS_VIEWER_{name}": text for name, text in settings.items()})


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    return {"TLS_CERT": str(tmp_path / "cert.pem"), "TLS_KEY": str(tmp_path / "key.pem")}


def test_without_a_word_only_this_machine_reaches_it(tmp_path: Path) -> None:
    home = _home(tmp_path)
    assert (home.place.host, home.place.names, home.place.proxies, home.place.is_loopback) == (
        "127.0.0.1",
        (),
        (),
        True,
    )
    assert viewer_url(home) == "http://127.0.0.1:5000"


def test_on_the_network_with_tls_or_behind_a_proxy(tmp_path: Path, tls: dict[str, str]) -> None:
    home = _home(tmp_path, HOST="0.0.0.0", NAMES="CCTV.example.co.id, 192.168.1.10", **tls)  # noqa: S104
    assert home.place.names == ("cctv.example.co.id", "192.168.1.10")
    assert viewer_url(home) == "https://127.0.0.1:5000"
    behind = _home(tmp_path, HOST="192.168.1.10", NAMES="cctv", PROXIES="192.168.1.2,10.0.0.0/8")
    assert behind.place.proxies == ("192.168.1.2", "10.0.0.0/8")
    assert viewer_url(behind) == "http://192.168.1.10:5000"
    assert viewer_url(_home(tmp_path, HOST="::1")) == "http://[::1]:5000"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HOST": "0.0.0.0", "NAMES": "cctv"}, "passwords would cross"),  # noqa: S104
        ({"HOST": "192.168.1.10", "NAMES": "cctv"}, "passwords would cross"),
        ({"HOST": "0.0.0.0", "PROXIES": "10.0.0.1"}, "no name"),  # noqa: S104
        ({"HOST": "the.server"}, "no address"),
        ({"PROXIES": "10.0.0.1/8x"}, "no address"),
        ({"TLS_CERT": "/nowhere/cert.pem"}, "two files"),
        ({"TLS_CERT": "/nowhere/cert.pem", "TLS_KEY": "/nowhere/key.pem"}, "can't be read"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        _home(tmp_path, **settings)
    assert "VMS_VIEWER_" in str(refused.value)


@pytest.mark.parametrize(
    ("own_machine", "url", "answer"),
    [
        (False, "http://localhost", 403),
        (True, "http://localhost", 200),
        (True, "http://127.0.0.1", 200),
        (True, "http://cctv.example.co.id", 403),
        (True, "https://cctv.example.co.id", 200),
        (True, "http://evil.example", 421),
    ],
)
def test_without_tls_a_container_answers_its_own_machine_alone(own_machine: bool, url: str, answer: int) -> None:
    async def fine(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("fine")(scope, receive, send)

    guard = Guard(fine, names=("cctv.example.co.id",), only_tls=True, own_machine=own_machine)
    assert TestClient(guard, base_url=url).get("/").status_code == answer
