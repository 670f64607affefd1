"""What a branch's secret is good for: requests of an edge worker, and nothing else. As the API server itself checks."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.tokens import JWTGenerator, JWTValidator
from airflow.api_fastapi.execution_api import app as execution_api
from airflow.configuration import conf
from airflow.providers.edge3.worker_api import auth as edge_api

from vms.home import Home, from_environment
from vms.stack import container, signing

SECRET = "what-every-branch-is-told-" * 3


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return from_environment({"VMS_HOME": str(tmp_path / "home"), "VMS_SECRET_AIRFLOW_KEY": "the centre's own"})


@pytest.fixture
def centre(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The API server's settings: both the secret and the key. Returns the file of the key."""
    path = signing.key_file(home, tmp_path)
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH", str(path))
    return path


def people() -> JWTValidator:
    return BaseAuthManager._get_token_validator.__wrapped__(BaseAuthManager)


def tasks() -> JWTValidator:
    return execution_api._jwt_validator()


def forged(kid: str, audience: str) -> str:
    now = int(time.time())
    claims = {"sub": "admin", "role": "ADMIN", "aud": audience, "iat": now, "nbf": now, "exp": now + 600}
    return jwt.encode(claims, SECRET, algorithm="HS512", headers={"kid": kid})


def test_a_branch_signs_neither_for_people_nor_for_tasks(centre: Path) -> None:
    kid = JWTGenerator(valid_for=1, audience="x", private_key=centre.read_bytes()).kid
    for validator, section in ((people(), "api_auth"), (tasks(), "execution_api")):
        (audience,) = conf.get_mandatory_list_value(section, "jwt_audience", fallback=["apache-airflow"])
        for known in ("not-used", kid):
            with pytest.raises(jwt.InvalidTokenError):
                validator.validated_claims(forged(known, audience))


@pytest.mark.usefixtures("centre")
def test_the_edge_api_takes_a_stock_workers_requests_and_no_others() -> None:
    now = int(time.time())
    claims = {"method": "jobs/fetch/branch-mks", "aud": "api", "iat": now, "nbf": now, "exp": now + 30}
    stock = JWTGenerator(secret_key=SECRET, private_key=None, valid_for=30, audience="api")
    validator = edge_api._shared_secret_validator()
    said = validator.validated_claims(stock.generate({"method": "jobs/fetch/branch-mks"}))
    assert said["method"] == "jobs/fetch/branch-mks"
    with pytest.raises(jwt.InvalidTokenError):
        validator.validated_claims(jwt.encode(claims, "another secret" * 5, algorithm="HS512"))


@pytest.mark.usefixtures("centre")
def test_what_the_centre_signs_it_takes_itself() -> None:
    token = BaseAuthManager._get_token_signer.__wrapped__(BaseAuthManager).generate({"sub": "1"})
    assert people().validated_claims(token)["sub"] == "1"
    assert tasks().validated_claims(execution_api._jwt_generator().generate({"sub": "ti"}))["sub"] == "ti"


@pytest.mark.usefixtures("centre")
def test_a_right_to_begin_that_was_over_a_minute_ago_is_still_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the leeway that the centre sets (test_container_workers.py): a waiting task is not asked for anew at once."""
    over = execution_api._jwt_generator().generate({"sub": "ti", "scope": "workload"}, valid_for=-60)
    with pytest.raises(jwt.ExpiredSignatureError):
        tasks().validated_claims(over)
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_LEEWAY", "90")
    assert tasks().validated_claims(over)["sub"] == "ti"


def test_the_key_is_the_same_in_every_part_that_signs_and_for_its_user_alone(home: Home, tmp_path: Path) -> None:
    first = signing.key_file(home, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    assert signing.key_file(home, other).read_bytes() == first.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600
    assert container.AIRFLOW.keys() > signing.SIGNERS


@pytest.mark.usefixtures("centre")
def test_the_workers_of_branches_sign_by_the_centres_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    from vms_airflow import branch_worker

    monkeypatch.setattr(branch_worker, "clock", branch_worker.CentresClock())
    branch_worker.clock.hear(format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True))
    token = branch_worker.Signer(SECRET).generate({"method": "x"})
    ahead = jwt.decode(token, options={"verify_signature": False})["iat"] - time.time()
    assert -7300 < ahead < -7100
    branch_worker.clock.hear("no date at all")
    branch_worker.clock.hear(None)
    assert branch_worker.clock.ahead < timedelta(hours=-1), "what is no date changes nothing"
    branch_worker.clock.hear(format_datetime(datetime.now(UTC), usegmt=True))
    fresh = branch_worker.Signer(SECRET).generate({"method": "x"})
    assert edge_api._shared_secret_validator().validated_claims(fresh)["method"] == "x"
