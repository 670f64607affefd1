"""A small identity provider (OpenID Connect) on loopback, as strict as the real ones, which can be told to lie."""

from __future__ import annotations

import hashlib
import secrets
import socket
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import unquote, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "vms-viewer", "the client's secret: 100%"


class Provider:
    """people: subject to claims. lie: claims to say instead (None: leave out). signer: signs in place of the right key.
    forge: makes the token from its claims.

    thin: nothing but who it is stands in the token; the rest is told by userinfo. A code is good once.
    """

    def __init__(self, port: int) -> None:
        self.issuer = f"http://localhost:{port}/realms/company"
        self.people: dict[str, dict[str, Any]] = {}
        self.lie: dict[str, Any] = {}
        self.forge: Callable[[dict[str, Any]], str] | None = None
        self.key = self.signer = RSAKey.generate_key(2048, {"kid": "one"})
        self.thin = False
        self.down = False
        self.userinfo_sub = ""
        self.backs: set[str] = set()
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}

    def turn_key(self) -> None:
        """Another key from now on, as providers do now and then."""
        self.key = self.signer = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)})

    def app(self) -> Starlette:
        path = "/realms/company"
        routes = [
            Route(f"{path}/.well-known/openid-configuration", self._facts),
            Route(f"{path}/keys", self._keys),
            Route(f"{path}/authorize", self._authorize),
            Route(f"{path}/choose", self._choose),
            Route(f"{path}/token", self._token, methods=["POST"]),
            Route(f"{path}/userinfo", self._userinfo),
            Route(f"{path}/leave", self._leave),
        ]
        return Starlette(routes=routes)

    async def _facts(self, _request: Request) -> Response:
        if self.down:
            return HTMLResponse("<h1>Bad gateway</h1>", 502)
        places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo", "end_session": "leave"}
        told = {f"{name}_endpoint": f"{self.issuer}/{place}" for name, place in places.items()}
        return JSONResponse(told | {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [{**self.key.as_dict(private=False), "alg": "RS256", "use": "sig"}]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        fits = (
            asked.get("client_id") == CLIENT
            and asked.get("redirect_uri") in self.backs
            and asked.get("response_type") == "code"
            and asked.get("code_challenge_method") == "S256"
            and "openid" in asked.get("scope", "").split()
        )
        if not fits:
            return HTMLResponse("<h1>Invalid request</h1>", 400)
        ways = {sub: f"{self.issuer}/choose?{urlencode(asked | {'who': sub})}" for sub in (*self.people, "nobody")}
        links = "".join(f'<p><a href="{escape(way)}">{escape(sub)}</a></p>' for sub, way in ways.items())
        return HTMLResponse(f"<h1>Company login</h1>{links}")

    async def _choose(self, request: Request) -> Response:
        asked = dict(request.query_params)
        answer = {"state": asked["state"], "iss": self.issuer}
        if asked["who"] not in self.people:
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer | {'error': 'access_denied'})}", 303)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer | {'code': code})}", 303)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        name, _, secret = b64decode(request.headers.get("authorization", "")[6:]).decode().partition(":")
        if (unquote(name), unquote(secret)) != (CLIENT, SECRET):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(str(form.get("code")), None)
        verifier = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        fits = (
            asked is not None
            and form.get("redirect_uri") == asked["redirect_uri"]
            and urlsafe_b64encode(verifier).decode().rstrip("=") == asked["code_challenge"]
        )
        if asked is None or not fits:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "sub": asked["who"]}
        claims |= {"nonce": asked["nonce"]} | ({} if self.thin else self.people[asked["who"]]) | self.lie
        claims = {key: value for key, value in claims.items() if value is not None}
        token = secrets.token_urlsafe(16)
        self.tokens[token] = asked["who"]
        header = {"alg": "RS256", "kid": self.key.kid}
        signed = self.forge(claims) if self.forge else jwt.encode(header, claims, self.signer)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": signed})

    async def _userinfo(self, request: Request) -> Response:
        who = self.tokens.get(request.headers.get("authorization", "")[7:])
        if who is None:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse({"sub": self.userinfo_sub or who} | self.people[who])

    async def _leave(self, request: Request) -> Response:
        back = escape(request.query_params["post_logout_redirect_uri"])
        return HTMLResponse(f'<h1>Signed out of the company</h1><a href="{back}">back</a>')


@contextmanager
def served_provider() -> Iterator[Provider]:
    """A provider that answers on a port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        provider = Provider(listening.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(provider.app(), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.should_exit = True
            thread.join(30)
