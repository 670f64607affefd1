"""Signing in by an identity provider over HTTP: who comes in as whom, and every answer that is not to be believed."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from oidc_provider import CLIENT, SECRET, Provider, served_provider
from viewer import provider_sign_in, sign_in, visitor
from viewer.database import Pool
from viewer.gate import Gate
from viewer.security import Guard
from viewer_world import add_user, owner
from vms.catalogue import users
from vms.config import load_config
from vms.home import Home
from vms.identity_provider import Provider as Known

BASE = "http://127.0.0.1:5000"
BACK = f"{BASE}/sign-in/back"
ADDRESS = "192.0.2.1"
PAGE = {"Accept": "text/html", "Accept-Language": "en"}
BUDI = {"preferred_username": "Budi", "email": "budi@example.co.id", "email_verified": True, "groups": ["security"]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with served_provider() as made:
        made.backs.add(BACK)
        made.people["b-1"] = dict(BUDI)
        yield made


@pytest.fixture
def home(catalogue: tuple[Home, str], provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = catalogue[0]
    monkeypatch.setenv("VMS_HOME", str(home.root))
    monkeypatch.setattr(provider_sign_in, "_kept", None)
    entry = {"company_login": {"conn_type": "oidc", "login": CLIENT, "password": SECRET}}
    home.connections.write_text(json.dumps(entry))
    home.connections.chmod(0o600)
    with closing(owner(home)) as conn, conn, conn.cursor() as cursor:
        cursor.execute("INSERT INTO site (slug, name, tz) VALUES ('ho', 'HO', 'Asia/Jakarta') ON CONFLICT DO NOTHING")
    configure(home, provider, create="true", sees="[ho]")
    return home


def configure(home: Home, provider: Provider, **more: str) -> None:
    """Write sites.yaml with the provider switched on."""
    keys = {
        "issuer": provider.issuer,
        "conn_id": "company_login",
        "label": "Company account",
        "roles": "{administrator: [boss], investigator: [security], auditor: [audit]}",
    } | more
    lines = "\n".join(f"  {name}: {value}" for name, value in keys.items())
    sites = f"sites:\n- {{id: ho, time_zone: WIB, footage: {home.root}/footage}}\n"
    home.sites_file.write_text(f"sign_in:\n{lines}\n{sites}")
    assert load_config(home.sites_file).errors == ()


@pytest.fixture
def client(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(visitor, "FRESH_S", 0.0)
    pool = Pool(home)

    async def page(request: Request) -> JSONResponse:
        person: visitor.Visitor = request.state.visitor
        return JSONResponse({"name": person.name, "role": person.role, "scope": person.scope})

    app = Starlette(
        routes=[*sign_in.routes(home, pool), Route("/", page), Route("/coverage", page)],
        middleware=[Middleware(Guard), Middleware(Gate, sessions=visitor.of(pool), port=home.viewer_port)],
    )
    with TestClient(app, base_url=BASE, follow_redirects=False, client=(ADDRESS, 1), headers=PAGE) as made:
        yield made
    pool.close()


def _to_provider(client: TestClient, provider: Provider, who: str = "b-1", **wanted: str) -> str:
    """Where the provider sends the browser back to, with its answer."""
    sent = client.get("/sign-in/start", params=wanted)
    assert sent.status_code == 303, sent.text
    assert sent.headers["location"].startswith(f"{provider.issuer}/authorize?")
    asked = parse_qs(urlsplit(sent.headers["location"]).query)
    with httpx.Client(trust_env=False, timeout=120) as browser:
        assert browser.get(sent.headers["location"]).status_code == 200
        flat = {name: values[0] for name, values in asked.items()} | {"who": who}
        return str(browser.get(f"{provider.issuer}/choose?{urlencode(flat)}").headers["location"])


def _enter(client: TestClient, provider: Provider, who: str = "b-1", **wanted: str) -> Any:
    return client.get(_to_provider(client, provider, who, **wanted))


def _ask(home: Home, sql: str) -> list[tuple[Any, ...]]:
    with closing(owner(home)) as conn, conn.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _log(home: Home) -> list[tuple[Any, ...]]:
    return _ask(home, "SELECT who, action, detail FROM view_log WHERE address <> '' ORDER BY view_no")


def _is_out(home: Home, client: TestClient) -> bool:
    return client.get("/", headers={"Accept": "*/*"}).status_code == 401 and not _ask(
        home, "SELECT 1 FROM viewer_session"
    )


def test_an_account_is_made_with_the_role_of_its_groups(client: TestClient, home: Home, provider: Provider) -> None:
    page = client.get("/sign-in?next=/coverage%3Fsite%3Dho")
    assert "Sign in with Company account" in page.text
    assert 'href="/sign-in/start?lang=en&amp;next=%2Fcoverage%3Fsite%3Dho"' in page.text
    answer = _enter(client, provider, next="/coverage?site=ho", lang="id")
    assert (answer.status_code, answer.headers["location"]) == (303, "/coverage?site=ho")
    cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("vms_5000="))
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Path=/"))
    assert client.get("/").json()["name"] == "budi"
    with closing(owner(home)) as conn:
        (row,) = [one for one in users.list_users(conn) if one.name == "budi"]
    assert (row.role, row.grants, row.everywhere) == ("investigator", (("ho", ""),), False)
    assert (row.has_password, row.provider, row.made_by) == (False, provider.issuer, provider.issuer)
    told = {"user": "budi", "role": "investigator", "issuer": provider.issuer, "everywhere": False}
    assert _log(home) == [("budi", "user_added", told), ("budi", "sign_in", {"provider": True})]
    assert not [name for name in client.cookies if name.startswith("vms_try")], "what was kept for this try is gone"
    form = {"form": "", "name": "budi", "password": ""}
    assert client.post("/sign-in", data=form).status_code == 403, "there is no password that lets them in"


def test_groups_decide_anew_each_time_and_a_rename_changes_nothing(
    client: TestClient, home: Home, provider: Provider
) -> None:
    assert _enter(client, provider).status_code == 303
    first = client.cookies["vms_5000"]
    provider.people["b-1"] |= {"preferred_username": "budi.santoso", "groups": ["boss", "security"]}
    assert _enter(client, provider).status_code == 303
    assert client.get("/").json() == {"name": "budi", "role": "administrator", "scope": "*"}
    assert client.get("/", headers={"Cookie": f"vms_5000={first}", "Accept": "*/*"}).status_code == 401
    provider.people["b-1"]["groups"] = ["audit"]
    _enter(client, provider)
    assert client.get("/").json()["role"] == "auditor"
    provider.people["b-1"]["groups"] = []
    assert _enter(client, provider).status_code == 403
    assert _is_out(home, client), "who has left every group loses what is open, too"
    assert [row[1] for row in _log(home)] == [
        *("user_added", "sign_in", "user_role", "sign_in", "user_role", "sign_in", "sign_in_failed")
    ]


def test_a_local_account_is_nobody_elses(client: TestClient, home: Home, provider: Provider) -> None:
    """Whoever may choose a name at the provider must not become who has it here."""
    add_user(home, "budi", "viewer")
    refused = _enter(client, provider)
    assert refused.status_code == 403
    assert "Company account knows you, but you have no access here" in refused.text
    assert _is_out(home, client)
    with closing(owner(home)) as conn:
        users.link(conn, "budi", "test")
    assert _enter(client, provider).status_code == 303
    assert client.get("/").json()["role"] == "viewer", "its role is its administrator's business"
    provider.people["b-2"] = dict(BUDI)
    assert _enter(client, provider, "b-2").status_code == 403, "another person under the same name"
    with closing(owner(home)) as conn:
        users.unlink(conn, "budi", "test")
    assert _is_out(home, client)
    assert _enter(client, provider).status_code == 403


def test_nobody_is_made_unless_told_so(client: TestClient, home: Home, provider: Provider) -> None:
    configure(home, provider)
    assert _enter(client, provider).status_code == 403
    assert _ask(home, "SELECT name FROM viewer_user") == []
    with closing(owner(home)) as conn:
        users.add_user(conn, "budi", "investigator", None, "test", datetime.now(UTC), sees=[("ho", "")])
    assert _enter(client, provider).status_code == 303
    with closing(owner(home)) as conn:
        add_user(home, "sari")
        users.set_disabled(conn, "budi", datetime.now(UTC), "test")
    assert _enter(client, provider).status_code == 403
    assert _is_out(home, client)
    assert [row[2] for row in _log(home) if row[1] == "sign_in_failed"] == [
        {"provider": "unknown"},
        {"provider": "disabled"},
    ]


NO_WAY_IN: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({"name_claim": "email"}, {"email_verified": False}, "email"),
    ({"name_claim": "email"}, {"email_verified": "true"}, "email"),
    ({"name_claim": "email", "domains": "[other.example]"}, {}, "domain"),
    ({"name_claim": "email", "domains": "example.co.id"}, {"email": "budi@example.co.id@evil.example"}, "domain"),
    ({"domains": "example.co.id"}, {}, "domain"),
    ({}, {"preferred_username": "<img src=x onerror=alert(1)>"}, "name"),
    ({}, {"preferred_username": ["budi"]}, "name"),
    ({}, {"groups": "other"}, "role"),
    ({}, {"groups": {"security": True}}, "role"),
]


def test_who_is_known_there_may_still_have_no_way_in(client: TestClient, home: Home, provider: Provider) -> None:
    for more, claims, why in NO_WAY_IN:
        configure(home, provider, create="true", **more)
        provider.people["b-1"] = BUDI | claims
        assert _enter(client, provider).status_code == 403, why
        assert _is_out(home, client)
        assert _log(home)[-1][1:] == ("sign_in_failed", {"provider": why})
    assert _ask(home, "SELECT name FROM viewer_user") == []


def test_a_verified_address_is_a_name_without_its_only_domain(
    client: TestClient, home: Home, provider: Provider
) -> None:
    configure(home, provider, create="true", name_claim="email", domains="[example.co.id]")
    provider.thin = True  # the rest is asked of userinfo
    assert _enter(client, provider).status_code == 303
    assert client.get("/").json()["name"] == "budi"
    configure(home, provider, create="true", name_claim="email", domains="[example.co.id, example.com]")
    provider.people["r-1"] = BUDI | {"email": "rina@example.com"}
    assert _enter(client, provider, "r-1").status_code == 303
    assert client.get("/").json()["name"] == "rina@example.com"
    provider.userinfo_sub = "b-1"
    assert _enter(client, provider, "r-1").status_code == 403, "userinfo of somebody else"


LIES: list[dict[str, Any]] = [
    {"nonce": "another"},
    {"nonce": None},
    {"aud": "another-client"},
    {"aud": [CLIENT, "another-client"]},
    {"aud": [CLIENT, "another-client"], "azp": "another-client"},
    {"azp": "another-client"},
    {"iss": "http://localhost:1/realms/company"},
    {"exp": 1},
    {"exp": None},
    {"exp": "never"},
    {"iat": 4_000_000_000},
    {"sub": None},
    {"sub": 7},
]


def test_a_word_that_was_not_meant_for_this_try_is_not_believed(
    client: TestClient, home: Home, provider: Provider
) -> None:
    for lie in LIES:
        provider.lie = lie
        refused = _enter(client, provider)
        assert refused.status_code == 403, lie
        assert "proves nothing" in refused.text
        assert _is_out(home, client)
    assert _log(home) == [("", "sign_in_failed", {"provider": "proof"})] * len(LIES)
    provider.lie = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert _enter(client, provider).status_code == 303


def test_a_word_that_another_key_signed_is_not_believed(client: TestClient, home: Home, provider: Provider) -> None:
    assert _enter(client, provider).status_code == 303
    client.post("/sign-out")
    provider.signer = RSAKey.generate_key(2048, {"kid": "one"})
    assert _enter(client, provider).status_code == 403
    public = provider.key.as_pem(private=False)
    for algorithm, key in (("HS256", public), ("HS256", SECRET.encode()), ("none", None)):
        provider.forge = lambda claims, algorithm=algorithm, key=key: _forged(claims, algorithm, key)
        assert _enter(client, provider).status_code == 403, "what others know is no secret"
    provider.forge = lambda _claims: "no.token.atall"
    assert _enter(client, provider).status_code == 403
    assert _is_out(home, client)


def _forged(claims: dict[str, Any], algorithm: str, key: bytes | None) -> str:
    """A token of another kind of signature, or of none."""

    def text(value: object) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return urlsafe_b64encode(raw).decode().rstrip("=")

    signed = f"{text({'alg': algorithm, 'kid': 'one'})}.{text(claims)}"
    return f"{signed}.{text(hmac.digest(key, signed.encode(), 'sha256')) if key else ''}"


def test_keys_that_the_provider_has_turned_are_fetched(client: TestClient, provider: Provider) -> None:
    assert _enter(client, provider).status_code == 303
    provider.turn_key()
    kept = provider_sign_in._kept
    assert kept
    assert kept._keys
    kept._keys = (kept._keys[0] - 60, kept._keys[1])
    assert _enter(client, provider).status_code == 303


def test_an_answer_is_good_for_who_asked_and_once(client: TestClient, home: Home, provider: Provider) -> None:
    answer = _to_provider(client, provider)
    stranger = TestClient(client.app, base_url=BASE, follow_redirects=False, headers=PAGE)
    assert stranger.get(answer).status_code == 403, "a browser that never asked"
    _to_provider(stranger, provider)
    assert stranger.get(answer).status_code == 403, "one that asked for something else"
    own = {name: value for name, value in client.cookies.items() if name.startswith("vms_try")}
    wrong = answer.replace("state=", "state=x")
    assert client.get(wrong).status_code == 403
    assert client.get(answer).status_code == 303
    assert client.get(answer).status_code == 403, "the browser has given its cookie back"
    client.cookies.clear()
    client.cookies.update(own)
    assert client.get(answer).status_code == 403, "the code was used"
    assert _is_out(home, TestClient(client.app, base_url=BASE)) is False
    (name, value), *_ = own.items()
    forged = {name: value[:-3] + "abc"}
    assert client.get(answer, headers={"Cookie": "; ".join(f"{k}={v}" for k, v in forged.items())}).status_code == 403


def test_a_refusal_there_and_an_answer_of_another_provider(client: TestClient, home: Home, provider: Provider) -> None:
    refused = _enter(client, provider, "nobody")
    assert refused.status_code == 403
    assert "Company account did not let you in" in refused.text
    mixed = _to_provider(client, provider).replace("iss=", "iss=http%3A%2F%2Fevil.example&was=")
    assert client.get(mixed).status_code == 403
    assert [row[2] for row in _log(home)] == [{"provider": "refused"}, {"provider": "proof"}]


def test_after_signing_in_a_person_stays_here(client: TestClient, provider: Provider) -> None:
    for target in ("https://evil.example/", "//evil.example", "/sign-in/out", "javascript:alert(1)"):
        assert _enter(client, provider, next=target).headers["location"] == "/"


def test_a_provider_that_is_away_is_told_and_passwords_go_on(
    client: TestClient, home: Home, provider: Provider
) -> None:
    provider.down = True
    away = client.get("/sign-in/start")
    assert away.status_code == 503
    assert "Company account does not answer at the moment" in away.text
    assert 'name="password"' in away.text
    provider.down = False
    answer = _to_provider(client, provider).partition("&iss=")
    configure(home, provider, issuer="http://localhost:1/realms/company")
    assert client.get(f"{answer[0]}&code=x").status_code == 503
    home.connections.write_text("{}")
    configure(home, provider)
    assert client.get("/sign-in/start").status_code == 503, "no client is defined"
    home.sites_file.write_text(home.sites_file.read_text().partition("sites:")[2].join(["sites:", ""]))
    assert client.get("/sign-in/start").status_code == 404
    assert "Company account" not in client.get("/sign-in").text


def test_signing_out_may_go_on_there(client: TestClient, provider: Provider) -> None:
    _enter(client, provider)
    client.post("/sign-out")
    assert "Sign out of Company account too" in client.get("/sign-in?out=1").text
    there = client.get("/sign-in/out")
    asked = {"client_id": CLIENT, "post_logout_redirect_uri": f"{BASE}/sign-in"}
    assert there.headers["location"] == f"{provider.issuer}/leave?{urlencode(asked)}"


def test_an_old_try_counts_no_more(client: TestClient, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = _to_provider(client, provider)
    later = time.time() + 601
    monkeypatch.setattr(time, "time", lambda: later)
    assert client.get(answer).status_code == 403


def test_the_doctor_looks_at_the_provider(home: Home, provider: Provider) -> None:
    policy = load_config(home.sites_file).sign_in
    assert policy
    Known(policy).check()
    provider.issuer += "/"
    with pytest.raises(Exception, match="calls itself"):
        Known(policy).check()
