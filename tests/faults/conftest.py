"""Seeds as parameters, the program that is killed, and worlds for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import video_clips
import weed
from fault_world import Driver, FaultWorld, MakeWorld
from vms.home import Home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--fault-seed")
        seeds = range(metafunc.config.getoption("--fault-seeds")) if one is None else [one]
        metafunc.parametrize("seed", seeds)


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.close()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Short clips by name: good ones, one that does not get smaller, one that is damaged, and one that is none."""
    folder = tmp_path_factory.mktemp("clips")
    made = {
        name: video_clips.camera(folder / f"{name}.mp4", seconds, size="160x120")
        for name, seconds in (("first", 1.5), ("second", 2), ("third", 2.5), ("fourth", 3))
    }
    made["small"] = video_clips.efficient(folder / "small.mp4", 2)
    made["damaged"] = video_clips.cut_off(folder / "damaged.mp4")
    made["no footage"] = video_clips.without_index(folder / "none.mp4")
    return made


@pytest.fixture
def make_world(
    new_catalogue: Callable[[Path], tuple[Home, str]],
    s3_server: weed.S3Server,
    driver: Driver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeWorld:
    """Makes an empty world with a fresh catalogue; the one before it ends with that."""
    for name in ("VMS_CATALOGUE_URL", "VMS_VIEWER_CATALOGUE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_CLOUD", weed.connection_text(s3_server.endpoint))

    def make() -> FaultWorld:
        root = tmp_path / secrets.token_hex(4)
        root.mkdir()
        home, owner_url = new_catalogue(root)
        prefix = f"{weed.BRANCH_PREFIX}-faults/{root.name}"
        world = FaultWorld(home, owner_url, root, s3_server.client(), prefix, driver, s3_server.endpoint)
        world.footage.mkdir()
        world.configure()
        return world

    return make


@pytest.fixture
def world(make_world: MakeWorld) -> FaultWorld:
    return make_world()
