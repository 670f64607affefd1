"""A branch for real: a network of its own that reaches only the proxy and the bucket, and keys that may only write.

It archives, is killed in the middle of an upload while its line is cut, and catches up; what is stolen from it opens
nothing, and what a thief overwrites with its keys is not lost and found out; revoked it is out. Needs a container
engine, some GB and half an hour:

    ./vms test tests/compose/check_branch.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from branch_machine import (
    BUCKET,
    OUTSIDE,
    Branch,
    archived,
    ask,
    joins,
    prepare,
    record,
    sending,
    site_line,
    starts,
)
from containers import Installation, _engine, eventually, installation

SITES = """
defaults: {{ time_zone: WITA, every: 1m, profile: copy, keep_source: keep }}
stores:
  cloud: {{ url: "s3://{bucket}/archive", conn_id: demo_s3 }}
sites:
  - {{ id: mks, name: Makassar, footage: /footage/mks, stores: [cloud], runs_on: edge, uplink: {uplink} }}
"""

REACHES = """
import socket, sys
for name, port in (("postgres", 5432), ("redis", 6379), ("api-server", 8080), ("viewer", 5000)):
    try:
        socket.create_connection((name, port), timeout=3).close()
        print(name)
    except OSError:
        pass
"""

STOLEN = """
import json, sys, time
import boto3, httpx, jwt
from botocore.exceptions import ClientError
from vms.home import from_environment
home = from_environment()
own = home.root / "branch"
told = json.loads((own / "branch.json").read_text())
import ssl
context = ssl.create_default_context(cafile=str(own / "authority.pem"))
bare = httpx.Client(base_url=told["url"], verify=ssl.create_default_context(cafile=str(own / "authority.pem")))
context.load_cert_chain(own / "certificate.pem", own / "key.pem")
ours = httpx.Client(base_url=told["url"], verify=context)
pages = httpx.Client(base_url=told["url"].replace("8444", "8443"), verify=False)
now = int(time.time())

def signed(method, **more):
    claims = {"aud": "api", "iat": now, "nbf": now, "exp": now + 600, "method": method} | more
    return jwt.encode(claims, told["edge_secret"], algorithm="HS512", headers={"kid": "not-used"})

admin = signed("x", sub="1", role="ADMIN", aud="apache-airflow")
def fetches(client, name="branch-mks", queues=("site-mks",)):
    asked = {"queues": list(queues), "free_concurrency": 1}
    token = signed(f"jobs/fetch/{name}")
    return client.post(f"/edge_worker/v1/jobs/fetch/{name}", json=asked, headers={"Authorization": token}).status_code

def gets(client, path):
    return client.get(path, headers={"Authorization": f"Bearer {admin}"}).status_code

said = {
    "rest by the pages' port": gets(pages, "/api/v2/dags"),
    "rest by our port": gets(ours, "/api/v2/dags"),
    "edge by the pages' port": fetches(pages),
    "no certificate": fetches(bare),
    "all queues": fetches(ours, queues=()),
    "centre's queue": fetches(ours, queues=("centre",)),
    "another branch": fetches(ours, "branch-sby", ("site-sby",)),
    "a connection": gets(ours, "/execution/connections/demo_s3"),
    "a variable": gets(ours, "/execution/variables/x"),
}
about = json.loads(home.connections.read_text())["demo_s3"]
s3 = boto3.client("s3", endpoint_url=about["extra"]["endpoint_url"], region_name="us-east-1",
                  aws_access_key_id=about["login"], aws_secret_access_key=about["password"])
bucket, others, key, alike, size = sys.argv[1:]
def asks(name, call):
    try:
        call()
        said[name] = 200
    except ClientError as error:
        said[name] = error.response["ResponseMetadata"]["HTTPStatusCode"]

def copies(source):
    s3.copy_object(Bucket=bucket, Key=f"{key}.copy", CopySource={"Bucket": bucket, "Key": source})

anybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
away = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
for name, call in {
    "bucket get": lambda: s3.get_object(Bucket=bucket, Key=key),
    "bucket look": lambda: s3.head_object(Bucket=bucket, Key=key),
    "bucket list": lambda: s3.list_objects_v2(Bucket=bucket),
    "bucket list own": lambda: s3.list_objects_v2(Bucket=bucket, Prefix="archive/mks/"),
    "bucket list versions": lambda: s3.list_object_versions(Bucket=bucket),
    "bucket list uploads": lambda: s3.list_multipart_uploads(Bucket=bucket),
    "bucket delete own": lambda: s3.delete_object(Bucket=bucket, Key=key),
    "bucket delete another's": lambda: s3.delete_object(Bucket=bucket, Key=others),
    "bucket elsewhere": lambda: s3.put_object(Bucket=bucket, Key="archive/other/x", Body=b"x"),
    "bucket site named alike": lambda: s3.put_object(Bucket=bucket, Key="archive/mks2/x", Body=b"x"),
    "bucket overwrite another's": lambda: s3.put_object(Bucket=bucket, Key=others, Body=b"x"),
    "bucket parts of another's": lambda: s3.create_multipart_upload(Bucket=bucket, Key=others),
    "bucket identity": lambda: s3.put_object(Bucket=bucket, Key="archive/.vms-store.json", Body=b"{}"),
    "bucket copy of another's": lambda: copies(others),
    "bucket copy of own": lambda: copies(key),
    "bucket public": lambda: s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [anybody]})
    ),
    "bucket without versions": lambda: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "bucket rules": lambda: s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [away]}
    ),
    "bucket away": lambda: s3.delete_bucket(Bucket=bucket),
    "overwrite as the product puts": lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*"),
    "overwrite": lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"of a thief"),
    "overwrite alike": lambda: s3.put_object(Bucket=bucket, Key=alike, Body=bytes(int(size))),
}.items():
    asks(name, call)
several = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}).get("Errors", [])
said["bucket delete several"] = {"AccessDenied": 403}.get(several[0]["Code"]) if several else 200
print(json.dumps(said))
"""

OTHERS = "archive/sby/cam1/others.mp4"
"""An object of another site, beside those of the branch."""

ANOTHERS = """
import sys
from vms.stores.s3_client import make_client
make_client("demo_s3").put_object(Bucket=sys.argv[1], Key=sys.argv[2], Body=b"footage of another site")
"""

VERSIONS = """
import hashlib, json, sys
from vms.stores.s3_client import make_client
bucket, *keys = sys.argv[1:]
client = make_client("demo_s3")
def sums(key):
    for one in reversed(client.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]):
        body = client.get_object(Bucket=bucket, Key=key, VersionId=one["VersionId"])["Body"]
        yield hashlib.sha256(body.read()).hexdigest()
print(json.dumps({key: list(sums(key)) for key in keys}))
"""
"""What the bucket keeps of these objects, the oldest first."""


def test_a_branch_that_has_nothing_but_https(tmp_path: Path) -> None:
    with installation(tmp_path, "--s3", "--tls") as here:
        prepare(here, SITES.format(bucket=BUCKET, uplink="unlimited"))
        here.compose("up", "--build", "-d")
        eventually("the centre answers", lambda: bool(here.vms("status")))
        branch = Branch(here)
        try:
            archives(here, branch)
            lives_through_an_outage(here, branch)
            loses_nothing_to_a_thief(here, branch)
        finally:
            branch.compose("down", "-v", "-t", "5")


def archives(here: Installation, branch: Branch) -> None:
    joins(here, branch)
    assert branch.inside("python", "-c", REACHES).split() == [], "it reaches the proxy and the bucket alone"
    record(branch.container, "mks", starts(3, 2))
    eventually("the branch's footage is archived", lambda: archived(here) == 3)
    eventually("the branch knows that it is proven", lambda: branch.status()["proven"]["count"] == 3)
    assert branch.status()["waiting"]["count"] == 0


def lives_through_an_outage(here: Installation, branch: Branch) -> None:
    """Killed in the middle of an upload, without line; what it then holds and what is new arrives by itself."""
    (here.folder / "config" / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="1 Mbit/s"))
    eventually("the branch has the new uplink", lambda: "1 Mbit/s" in site_line(branch))
    record(branch.container, "mks", starts(1, 5), 120, "2500k")  # 37 MB: five minutes of line
    sending(here, branch)
    (proxy,) = here.containers("tls")
    _engine("network", "disconnect", OUTSIDE, proxy)
    _engine("kill", "--signal", "KILL", branch.container)
    branch.compose("up", "-d")
    record(branch.container, "mks", starts(2, 1))
    eventually("it says that the line is down", lambda: bool(branch.status()["problem"]))
    told = branch.status()
    assert told["running"]
    assert told["waiting"]["count"] == 3, "what was being sent, and the two that came meanwhile"
    assert told["proven"]["count"] == 3
    (here.folder / "config" / "sites.yaml").write_text(SITES.format(bucket=BUCKET, uplink="unlimited"))
    _engine("network", "connect", "--alias", "tls", OUTSIDE, proxy)
    eventually("all of it is archived", lambda: archived(here) == 6)
    rows = here.vms("recordings")
    assert len({(row["camera"], row["start_utc"]) for row in rows}) == len(rows) == 6
    assert all(len(row["copies"]) == 1 for row in rows)


def loses_nothing_to_a_thief(here: Installation, branch: Branch) -> None:
    """What a thief can do is to overwrite what the branch has put, as this server can't forbid that: the bucket keeps
    what it was, the centre finds it out, and the branch archives it anew beside."""
    (one, other) = (row["copies"][0] for row in here.vms("recordings")[:2])
    keys = [f"archive/{copy['key']}" for copy in (one, other)]
    here.inside(here.containers("worker")[0], "python", "-c", ANOTHERS, BUCKET, OTHERS)
    before = versions(here, keys)
    thief = ("python", "-W", "ignore", "-c", STOLEN, BUCKET, OTHERS, *keys, str(other["size_bytes"]))
    said = json.loads(branch.inside(*thief))
    assert {name: status for name, status in said.items() if status not in (401, 403, 404)} == {
        "overwrite as the product puts": 412,
        "overwrite": 200,
        "overwrite alike": 200,
    }
    after = versions(here, keys)
    assert {key: sums[:-1] for key, sums in after.items()} == before, "what was archived is there"
    assert len(versions(here, [OTHERS])[OTHERS]) == 1
    here.vms("verify", "--sample", "100")
    damaged = ask(here, "catalogue", "SELECT detail->>'key' FROM lineage WHERE event = 'copy_damaged'")
    assert sorted(damaged) == sorted(copy["key"] for copy in (one, other)), "the centre finds it out"
    eventually("both are archived anew, beside", lambda: archived(here) == 6 and not used(here, (one, other)))
    assert versions(here, keys) == after
    here.inside(here.containers("api-server")[0], "vms", "branch", "revoke", "mks")
    eventually("the branch is told that it is out", lambda: branch.status()["refused"])


def versions(here: Installation, keys: list[str]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = json.loads(
        here.inside(here.containers("worker")[0], "python", "-c", VERSIONS, BUCKET, *keys)
    )
    return told


def used(here: Installation, copies: tuple[dict[str, Any], ...]) -> bool:
    """Whether one of them still counts."""
    counting = {copy["key"] for row in here.vms("recordings") for copy in row["copies"]}
    return bool(counting & {copy["key"] for copy in copies})
