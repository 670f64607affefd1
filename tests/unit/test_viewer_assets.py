"""Streamlit's files: sent compressed and unchanged, and announced with the page that needs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from viewer.assets import FOLDER, Assets, ahead

HLS = "</api/watch/hls.js>; rel=preload; as=script"


def client(folder: Path = FOLDER) -> TestClient:
    """A page like Streamlit's, one of our own, and something that tells what was not answered before it."""

    async def page(request: Request) -> Response:
        own = {"Content-Security-Policy": "default-src 'none'"} if request.url.path == "/own" else {}
        return HTMLResponse("<title>page</title>", headers=own)

    async def rest(_: Request) -> Response:
        return PlainTextResponse("from the app")

    routes = [*(Route(path, page) for path in ("/", "/watch", "/own")), Route("/{rest:path}", rest)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Assets, folder=folder, more={"/watch": (HLS,)})]))


def announced(folder: Path = FOLDER, path: str = "/") -> list[str]:
    return client(folder).get(path).headers.get("link", "").split(", ")


def test_what_every_page_draws_with_is_announced_with_the_page() -> None:
    links = announced()
    paths = [re.sub(r"^<(.*?)>.*", r"\1", one) for one in links]
    stems = {Path(one).name.partition(".")[0] for one in paths}
    assert {"BidiComponent", "Html", "PageLink", "serialization", "MaterialSymbols-Rounded"} <= stems
    page = (FOLDER / "index.html").read_text()
    for path in paths:
        assert (FOLDER / path.removeprefix("/")).is_file()
        assert path.removeprefix("/") not in page, "the page says it itself"
    assert HLS in announced(path="/watch")
    assert HLS not in links
    assert announced(path="/own") == [""]
    assert announced(path="/anything.txt") == [""]


def test_what_is_fetched_ahead_is_all_that_a_page_begins_with_and_nothing_else() -> None:
    paths = ahead()
    stems = {Path(one).name.partition(".")[0] for one in paths}
    assert {
        "index",
        "react-dom",
        "protobuf",
        "BidiComponent",
        "MaterialSymbols-Rounded",
        "SourceSansVF-Upright",
    } <= stems
    assert {Path(one).suffix for one in paths} == {".js", ".css", ".woff2"}
    assert all(one.startswith("/static/") and (FOLDER / one[1:]).is_file() for one in paths)
    assert len(set(paths)) == len(paths)


def test_a_script_is_sent_compressed_and_is_the_same() -> None:
    (script,) = (FOLDER / "static" / "js").glob("BidiComponent.*.js")
    path = f"/{script.relative_to(FOLDER)}"
    answer = client().get(path)
    assert answer.content == script.read_bytes()
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < 0.5 * script.stat().st_size
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/static/js/none.js", {}),
        ("/static/../index.html", {}),
        ("/static/js/..%2f..%2findex.html", {}),
        ("{script}", {"Accept-Encoding": "identity"}),
        ("{script}", {"Range": "bytes=0-9"}),
    ],
)
def test_all_else_is_the_apps_to_answer(path: str, headers: dict[str, str]) -> None:
    (script,) = (FOLDER / "static" / "js").glob("BidiComponent.*.js")
    answer = client().get(path.format(script=f"/{script.relative_to(FOLDER)}"), headers=headers)
    assert answer.text == "from the app"


def test_files_of_other_names_are_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "other.js").write_text("1")
    assert announced(tmp_path) == [""]
    assert client(tmp_path).get("/static/other.js").text == "1"
    assert "other names" in caplog.text
