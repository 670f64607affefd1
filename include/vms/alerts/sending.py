"""Hands a message to a target through Apprise. The address comes from the target's connection and is told to nobody.

What Apprise logs while it sends may hold parts of an address, so only the number of an HTTP answer is taken from it.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from pathlib import Path

import apprise
from apprise.plugins.telegram import NotifyTelegram

from vms.config_alerts import AlertTarget
from vms.errors import VmsError
from vms.stores import connections

_ANSWER = re.compile(r"error[= ](\d{3})")


class NotSent(VmsError):
    """A target did not take a message."""


def send(target: AlertTarget, title: str, body: str, picture: bytes | None = None) -> None:
    """Send this text, with a PNG when there is one. Returns once every address of the target has taken it.

    Raises NotSent when one did not, or when the target's connection is missing or holds no address; StoreDenied when
    the connections can't be read.
    """
    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="VMS", app_desc="VMS", async_mode=False))
    addresses, bot_server = _addresses(target)
    for address in addresses:
        one = apprise.Apprise.instantiate(address, asset=sender.asset)
        if isinstance(one, NotifyTelegram) and bot_server:
            one.notify_url = f"{bot_server}/bot"
        if one is None or not sender.add(one):
            raise NotSent(
                f"The connection {target.conn_id} of the alert target {target.name} holds an address that Apprise does"
                " not know.",
                "Write it as Apprise wants it, such as tgram://<bot token>/<chat id> or mailtos://...",
            )
    answers: list[str] = []

    class _Answers(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            answers.extend(_ANSWER.findall(record.getMessage()))

    log, handler = logging.getLogger("apprise"), _Answers(logging.WARNING)
    spread, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory(prefix="vms-alert-") as folder:
            attach = None
            if picture is not None:
                attach = Path(folder) / "coverage.png"
                attach.write_bytes(picture)
            taken = sender.notify(
                body=body, title=title, body_format="text", attach=str(attach) if attach is not None else None
            )
    finally:
        log.removeHandler(handler)
        log.propagate = spread
    if not taken:
        why = f"its service answered {answers[-1]}" if answers else "its service did not answer or did not take it"
        raise NotSent(
            f"The alert target {target.name} could not be reached: {why}.",
            f"Check the address in the connection {target.conn_id} and the way to the internet; it is tried again.",
        )


def _addresses(target: AlertTarget) -> tuple[list[str], str]:
    """A text is the address itself; an object has it as password, or as Airflow's own Apprise connections do.

    With them comes the Telegram Bot API server to use in place of Telegram's own, "" for that.
    """
    text = connections.definition(target.conn_id)
    if not text:
        raise NotSent(
            f"The connection {target.conn_id} of the alert target {target.name} is not defined here.",
            connections.how_to_define(target.conn_id),
        )
    found: list[str] = []
    bot_server = ""
    if text.startswith("{"):
        try:
            fields = json.loads(text)
            extra = fields.get("extra") or {}
            extra = json.loads(extra) if isinstance(extra, str) else extra
            bot_server = str(extra.get("telegram_api") or "").rstrip("/")
            config = extra.get("config") or []
            paths = [one["path"] for one in (config if isinstance(config, list) else [config])]
            found = [str(one) for one in (*str(fields.get("password") or "").split(), *paths)]
        except (ValueError, TypeError, AttributeError, KeyError):
            found = []  # told below: what the parsers say may quote the secret
    else:
        found = text.split()
    if not found:
        raise NotSent(
            f"The connection {target.conn_id} of the alert target {target.name} holds no address.",
            'Write it as {"conn_type": "apprise", "password": "tgram://<bot token>/<chat id>"}.',
        )
    if bot_server and not re.match(r"https?://[^/\s]", bot_server):
        raise NotSent(
            f"The connection {target.conn_id} of the alert target {target.name} has a telegram_api that is no address.",
            'Write it as "extra": {"telegram_api": "http://127.0.0.1:8081"}, or leave it out for Telegram\'s own.',
        )
    return found, bot_server
