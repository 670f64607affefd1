"""Lines of logs: JSON for collectors, and each says which recording it is about, whatever thread it comes from."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vms import logs
from vms.errors import StoreError

log = logging.getLogger("vms.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_line_is_an_object_that_says_its_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.FORMAT, "json")
    logs.set_up()

    def work(name: str) -> None:
        log.info('%s\nin "two" lines', name)

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(logs.of_recording(number, work), f"lobi {number}") for number in (17, 18)]:
            job.result()
        pool.submit(work, "nobody's").result()
    found = {str(one["event"]).partition("\n")[0]: one for one in lines(capsys)}
    assert {name: one.get("recording") for name, one in found.items()} == {
        "lobi 17": 17,
        "lobi 18": 18,
        "nobody's": None,
    }
    assert {one["level"] for one in found.values()} == {"info"}
    assert {one["logger"] for one in found.values()} == {"vms.test"}
    assert all(str(one["timestamp"]).endswith("Z") for one in found.values())


def test_what_was_raised_is_in_the_object_without_the_values_of_variables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.FORMAT, "json")
    logs.set_up()
    password = "hunter2-in-a-variable"

    def fail(given: str) -> None:
        raise StoreError("Store nas is away.", f"Mount it. {len(given)}")

    try:
        fail(password)
    except StoreError:
        log.exception("lost")
    (line,) = lines(capsys)
    assert "StoreError" in json.dumps(line["exception"])
    assert password not in json.dumps(line)


def test_text_is_usual(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv(logs.FORMAT, raising=False)
    logs.set_up()
    with logs.about(recording=17):
        log.warning("a line")
    assert "WARNING vms.test: a line" in capsys.readouterr().err
