"""A page of the viewer by itself, drawn as the script draws it, and what is to be seen on it."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest


def page_of(name: str, **params: str) -> AppTest:
    """The page of viewer.pages, in English unless `lang` says another; it must not raise."""
    app = AppTest.from_string(
        f"from viewer import frame\nfrom viewer.pages import {name}\n{name}.draw(frame.language())",
        default_timeout=120,
    )
    for key, value in ({"lang": "en"} | params).items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def html(app: AppTest) -> str:
    return " ".join(str(element.proto.body) for element in app.get("html"))


def button(app: AppTest, label: str) -> Any:
    """None when there is none."""
    return next((one for one in app.button if one.label == label), None)
