"""`vms branch policy`: what the keys of a branch may do in each bucket, and the one command that makes it so."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from vms.cli.wording import new_console, plain
from vms.config import Site, StoreConfig, load_config
from vms.config_values import bucket_place, did_you_mean
from vms.errors import ConfigError, VmsError
from vms.home import from_environment
from vms.stores import narrow

_SEAWEEDFS = "for SeaweedFS, in the file that -s3.config names (its own action Write would also let the key delete)"


@dataclass(frozen=True)
class Policy:
    """How a branch is let into one store. kind: aws, s3-compatible, google or folder. commands: each with what it is
    for; notes: what else there is to know."""

    store: str
    url: str
    kind: str
    policy: dict[str, Any]
    commands: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def register(app: typer.Typer) -> None:
    app.command()(policy)


def policy(
    site: Annotated[str, typer.Argument(metavar="SITE", help="Id of the site in sites.yaml.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="Only this store of the site.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each store.")] = False,
) -> None:
    """At the centre: print what the keys of a site's branch need in its buckets, and nothing more.

    They may put objects below the site's own prefix; they can't read, list or delete. Nothing is changed by this.
    """
    place = load_config(from_environment().sites_file).site(site)
    chosen = _chosen(place, store)
    if as_json:
        for one in chosen:
            sys.stdout.write(json.dumps(asdict(policy_of(place.id, one)), ensure_ascii=False) + "\n")
        return
    console = new_console(soft_wrap=True)
    for one in chosen:
        made = policy_of(place.id, one)
        console.print(f"[bold]{plain(made.store)}[/]  {plain(made.url)}")
        if made.policy:
            console.print(json.dumps(made.policy, indent=2), markup=False, highlight=False)
        for about, command in made.commands:
            console.print(f"[yellow]→[/] {plain(about)}:")
            console.print(f"  {command}", markup=False, highlight=False)
        for note in made.notes:
            console.print(f"  {plain(note)}")
        console.print()
    console.print(
        "Put the key into secrets/connections.json at the branch, under the store's conn_id. `vms stores check` there"
        " tries it. Keys of the centre stay at the centre; docs/operations.md, Branches.",
        highlight=False,
    )


def policy_of(site: str, store: StoreConfig) -> Policy:
    """What a branch needs in this store. Raises ConfigError for a URL that names no bucket."""
    if not narrow.is_bucket(store.url):
        note = "A folder has no keys: the branch itself proves what it writes there."
        return Policy(store.name, store.url, "folder", {}, notes=(note,))
    bucket, prefix = bucket_place(store.url)
    user = f"vms-branch-{site}"
    if store.url.startswith("gs://"):
        return _google(user, site, store, bucket, prefix)
    if _own_server(store):
        return _compatible(user, site, store, bucket, prefix)
    made = narrow.s3_policy(bucket, prefix, site, store.options)
    put = ["aws", "iam", "put-user-policy", "--user-name", user, "--policy-name", f"vms-{store.name}"]
    command = shlex.join([*put, "--policy-document", _short(made)])
    about = f"for the IAM user {user} (aws iam create-user, create-access-key)"
    return Policy(store.name, store.url, "aws", made, ((about, command),))


def _compatible(user: str, site: str, store: StoreConfig, bucket: str, prefix: str) -> Policy:
    made = narrow.s3_policy(bucket, prefix, site, store.options, knows_conditions=False)
    name = f"{user}-{store.name}"
    stdin = f"printf %s {shlex.quote(_short(made))} | "
    minio = (
        f"{stdin}mc admin policy create ALIAS {name} /dev/stdin && mc admin policy attach ALIAS {name} --user {user}"
    )
    seaweed = _short(narrow.seaweedfs_users(user, "A SECRET OF YOUR OWN", made))
    notes = (
        "Turn on the versioning of the bucket: these servers do not let a policy forbid to overwrite, and what a stolen"
        " key overwrites is lost without.",
    )
    commands = (("for MinIO and servers with its commands", minio), (_SEAWEEDFS, seaweed))
    return Policy(store.name, store.url, "s3-compatible", made, commands, notes)


def _google(user: str, site: str, store: StoreConfig, bucket: str, prefix: str) -> Policy:
    rights = narrow.gcs_rights(store.options)
    condition = narrow.gcs_condition(bucket, prefix, site)
    role = "vmsBranchLock" if len(rights) > 1 else "vmsBranch"
    make = ["gcloud", "iam", "roles", "create", role, "--project=PROJECT", "--stage=GA", "--title=VMS branch"]
    bind = ["gcloud", "storage", "buckets", "add-iam-policy-binding", f"gs://{bucket}"]
    bind += [f"--member=serviceAccount:{user}@PROJECT.iam.gserviceaccount.com", f"--role=projects/PROJECT/roles/{role}"]
    bind += [f"--condition=title={user},expression={condition}"]
    made = {"role": {"includedPermissions": list(rights)}, "condition": {"title": user, "expression": condition}}
    commands = (
        ("once for the project, the role", shlex.join([*make, f"--permissions={','.join(rights)}"])),
        (f"for the service account {user}", shlex.join(bind)),
    )
    notes = ("Conditions need uniform bucket-level access; overwriting takes the right to delete, which it lacks.",)
    return Policy(store.name, store.url, "google", made, commands, notes)


def _own_server(store: StoreConfig) -> bool:
    """Whether the store's connection, as it is defined here, names a server of its own."""
    from vms.stores.connections import connection
    from vms.stores.s3_client import endpoint

    try:
        return endpoint(connection(store.conn_id)) is not None
    except VmsError:
        return False


def _chosen(site: Site, name: str) -> list[StoreConfig]:
    stores = [*site.stores, *([site.fallback] if site.fallback else [])]
    chosen = [one for one in stores if name in ("", one.name)]
    if name and not chosen:
        known = [one.name for one in stores]
        raise ConfigError(
            f"The site {site.id} does not use a store {name!r}.{did_you_mean(name, known)}",
            f"Its stores are: {', '.join(known)}.",
        )
    return chosen


def _short(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
