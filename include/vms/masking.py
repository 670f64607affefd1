"""Taking secrets out of texts that leave this machine: what the state folder and the environment hold is found again in
any text, in the spellings in which programs print it."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from vms.home import Home

MASK = "[secret]"

_LEAST = 4
"""A secret that is shorter would take half of the text with it, and protects nothing."""

_PUBLIC = frozenset(
    {"conn_type", "endpoint_url", "region_name", "host", "schema", "project", "expires", "telegram_api"}
    | {"signature_version", "addressing_style", "is_anonymous"}
)
"""What a connection says of where and how, and not of who."""

_OPERATORS = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")

_TELLING = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|CONN_|_URL\Z|AUTH", re.IGNORECASE)
_NO_SECRET = re.compile(r"(?:true|false|yes|no|\d{1,5}|/[\w./ -]*)\Z", re.IGNORECASE)
_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://)([^\s/@\"']+)@", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_INVITATION = re.compile(r"\.[A-Za-z0-9_-]{43}\.[0-9a-f]{64}\b")
"""All but the site of what lets a branch join."""

_HEADER = re.compile(r"(?i)\b(authorization|cookie|set-cookie)(\"?\s*[:=]\s*\"?)[^\r\n\"]+")
_SAID = re.compile(
    r"(?i)([\w-]*(?:passw(?:or)?d|passwort|secret|token|api[_-]?key|access[_-]?key))([\"']?\s*[:=]\s*[\"']?)"
    r"(?!null\b|true\b|false\b|none\b|\[|\{)[^\s\"',}]+"
)


class Masker:
    """Knows what must not be told."""

    def __init__(self, home: Home, environ: Mapping[str, str] | None = None) -> None:
        found = {*_of_files(home), *_of_branches(home), *_of_environment(os.environ if environ is None else environ)}
        spelt = {spelling for one in found if len(one) >= _LEAST for spelling in _spellings(one)}
        longest_first = sorted(spelt, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def masked(self, text: str) -> str:
        """The text without any secret."""
        text = _INVITATION.sub(f".{MASK}", _PEM.sub(MASK, text))
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _IN_URL.sub(rf"\1{MASK}@", text)
        return _SAID.sub(rf"\1\2{MASK}", _HEADER.sub(rf"\1\2{MASK}", text))


def settings(environ: Mapping[str, str], telling: tuple[str, ...]) -> dict[str, str]:
    """The settings whose names begin so. Of connections and variables of Airflow no more than that they are there."""
    chosen = {name: value for name, value in sorted(environ.items()) if name.startswith(telling)}
    return {name: MASK if name.startswith(_OPERATORS) else value for name, value in chosen.items()}


def shape(data: Any) -> Any:
    """A connection as it may be told: which keys it has, and the values of those that say where and how."""
    if isinstance(data, dict):
        return {key: value if key in _PUBLIC and not _nested(value) else shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [shape(one) for one in data]
    return data if isinstance(data, bool) or data is None else MASK


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _of_files(home: Home) -> Iterator[str]:
    for path in sorted(home.secrets.rglob("*")) if home.secrets.is_dir() else ():
        try:
            text = path.read_text(errors="replace").strip() if path.is_file() else ""
        except OSError:
            continue
        if not text:
            continue
        try:
            data = json.loads(text)
        except ValueError:
            data = text
        if _nested(data):
            yield from _leaves(data)
        else:
            yield from (text, *text.splitlines())


def _of_branches(home: Home) -> Iterator[str]:
    """What a branch signs with, and by which the centre's proxy is known."""
    for path, word in (
        (home.root / "branch" / "branch.json", r'"edge_secret": "([^"]+)"'),
        (home.branches / "proxy.conf", r'"([^"]+)"'),
    ):
        try:
            yield from re.findall(word, path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue


def _of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if not name.startswith(("VMS_", "AIRFLOW", "AWS_", "GOOGLE_", "OPENLINEAGE")) or not _TELLING.search(name):
            continue
        try:
            data = json.loads(value)
        except ValueError:
            data = None
        if _nested(data):
            yield from _leaves(data)
        elif "://" in value:
            yield from _of_url(value)
        elif not _NO_SECRET.match(value):
            yield value


def _of_url(text: str) -> Iterator[str]:
    """Its password, and what is secret in its query, where connections keep whole keys."""
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        yield text
        return
    yield from (password, unquote(password)) if password else ()
    for name, value in parse_qsl(parts.query):
        yield from _leaves(value, name)


def _leaves(data: Any, key: str = "") -> Iterator[str]:
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _leaves(value, name)
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, key)
    elif isinstance(data, str) and key not in _PUBLIC:
        try:
            inner = json.loads(data)
        except ValueError:
            inner = None
        if _nested(inner):
            yield data
            yield from _leaves(inner)
        elif not _NO_SECRET.match(data):
            for part in data.split():
                yield from (part,) if len(part) >= 2 * _LEAST else ()
                yield from _of_url(part) if "://" in part else ()
            yield data


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote(secret)
    yield repr(secret)[1:-1]
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
