"""What many integration tests ask for: the owner's connection to a fresh catalogue, and footage for the viewer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalogue_world import opened
from viewer_world import Clip, make_clip
from vms.catalogue.connection import Connection
from vms.home import Home, from_environment


@pytest.fixture
def conn(catalogue: tuple[Home, str]) -> Iterator[Connection]:
    """The owner's."""
    with opened(catalogue[1]) as made:
        yield made


@pytest.fixture(scope="session")
def viewer_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Real footage as it lies in a store, made once."""
    return make_clip(tmp_path_factory.mktemp("clip"), from_environment())
