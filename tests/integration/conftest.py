"""What many integration tests ask for: the owner's connection to a fresh catalogue, footage for the viewer, and the
viewer's pages by themselves, looked at by whom a test says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
import streamlit as st

from catalogue_world import opened
from footage_world import airflow_tables as airflow_tables  # made once for all runs of DAGs
from viewer import database, visitor
from viewer_world import Clip, SignedIn, World, build, make_clip
from vms.catalogue.connection import Connection
from vms.home import Home, from_environment


@pytest.fixture(autouse=True, scope="module")
def main_module() -> Iterator[None]:
    """Streamlit puts the page that it runs in the place of __main__, and every process that is spawned would run it."""
    own = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = own


@pytest.fixture
def conn(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    """The owner's."""
    with opened(catalogue[1]) as made:
        yield made


@pytest.fixture(scope="session")
def viewer_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Real footage as it lies in a store, made once."""
    return make_clip(tmp_path_factory.mktemp("clip"), from_environment())


@pytest.fixture
def viewer_home(catalogue: tuple[Home, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Where the viewer's pages look: nothing is known from before, and no session is taken for open without asking."""
    home = catalogue[0]
    for name, value in (("VMS_HOME", home.root), ("VMS_SITES", home.sites_file), ("VMS_DEMO", "0")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(visitor, "FRESH_S", 0.0)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield from_environment()
    database.pool(from_environment()).close()


@pytest.fixture
def world(viewer_home: Home, viewer_clip: Clip) -> World:
    """Two sites with recordings, and no user yet."""
    return build(viewer_home, viewer_clip)


@pytest.fixture
def look_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[SignedIn], None]:
    """Pages drawn from now on are looked at by this person."""

    def look(person: SignedIn) -> None:
        monkeypatch.setattr(visitor, "_session_of_request", lambda: f"{person.session} 192.0.2.7")

    return look
