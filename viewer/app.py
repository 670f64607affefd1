"""The viewer as one ASGI app: Streamlit's pages, the media routes beside them, the guard and the gate around both.

One process only: Streamlit keeps a person's page state in the process that began it.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from viewer import (
    assets,
    audit_log,
    camera_tree,
    database,
    direct,
    figures,
    gate,
    media,
    security,
    session_watch,
    share,
    sign_in,
    taking,
    visitor,
)
from viewer.watch import routes as watch
from viewer.watch.visit import PREFIX
from vms.home import from_environment

log = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
home = from_environment()
stores = direct.Direct(home)


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Load the pages before the first visitor comes, and take what is loaded out of the garbage collector's sight.

    Streamlit collects in full after every script run; over everything that is imported, that takes most of a rerun.
    """
    began = time.monotonic()
    from viewer.pages import account, alerts, bookmarks, coverage, deeds, exports, find, holds, operations, sites, watch  # noqa: F401  # here, so that app start-up errors name the lifespan

    gc.collect()
    gc.freeze()
    log.info("Viewer ready on port %s after %.1f s", home.viewer_port, time.monotonic() - began)
    yield {}
    database.pool(home).close()


async def favicon(_request: Request) -> Response:
    """The icon of the browser tab; Streamlit's own page asks for it under this name."""
    return FileResponse(FOLDER / "front" / "icon.svg", media_type="image/svg+xml")


app = st.App(
    FOLDER / "entry" / "script.py",
    lifespan=lifespan,
    routes=[
        *sign_in.routes(home, database.pool(home)),
        *session_watch.routes(),
        *media.routes(home, database.pool(home), stores),
        *audit_log.routes(home, database.pool(home)),
        *camera_tree.routes(),
        *taking.routes(home, database.pool(home)),
        *share.routes(home, database.pool(home)),
        *watch.routes(home, database.pool(home)),
        *figures.routes(home, database.pool(home)),
        Route("/favicon.png", favicon),
        Route("/favicon.ico", favicon),
    ],
    middleware=[
        Middleware(
            security.Guard,
            frame_ancestors=sign_in.frame_ancestors(home),
            names=home.place.names,
            only_tls=not home.place.is_loopback and home.place.certificate is None,
            own_machine=home.parts is not None,
            stores=stores.origins,
        ),
        Middleware(gate.Gate, sessions=visitor.of(database.pool(home)), port=home.viewer_port),
        Middleware(assets.Assets, more={"/watch": (f"<{PREFIX}/{watch.HLS}>; rel=preload; as=script",)}),
    ],
)
