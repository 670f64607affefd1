"""The look and the switches of Streamlit, set by `serve` so that nothing depends on a hidden configuration folder."""

from __future__ import annotations

from typing import Any

_LIGHT = {
    "primaryColor": "#0b6465",
    "backgroundColor": "#f6f7f9",
    "secondaryBackgroundColor": "#ffffff",
    "textColor": "#16202a",
    "borderColor": "#dde2e7",
    "linkColor": "#0b5f60",
    "greenColor": "#1a6e45",
    "orangeColor": "#965100",
    "redColor": "#b53024",
    "grayColor": "#5b6875",
}
_DARK = {
    "primaryColor": "#4db8b0",
    "backgroundColor": "#0e1318",
    "secondaryBackgroundColor": "#171e26",
    "textColor": "#e4eaf0",
    "borderColor": "#2a343f",
    "linkColor": "#6fcdc5",
    "greenColor": "#5fc492",
    "orangeColor": "#f0a64a",
    "redColor": "#ef7a6f",
    "grayColor": "#93a1af",
}

OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "server.headless": True,
    "server.address": "127.0.0.1",
    "server.allowedHosts": ["127.0.0.1", "localhost", "::1"],
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.maxUploadSize": 1,
    "server.enableStaticServing": False,
    "global.disableWidgetStateDuplicationWarning": True,  # widgets are always set from the address
    "runner.magicEnabled": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "theme.baseRadius": "0.5rem",
    "theme.buttonRadius": "0.5rem",
    "theme.showWidgetBorder": True,
    **{f"theme.light.{name}": value for name, value in _LIGHT.items()},
    **{f"theme.dark.{name}": value for name, value in _DARK.items()},
}
