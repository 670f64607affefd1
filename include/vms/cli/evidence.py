"""`vms evidence`: the key that evidence packages are signed with, and checking a package."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vms.cli.wording import new_console, plain
from vms.errors import ConfigError
from vms.evidence.check_package import NotAPackage, check
from vms.evidence.signing import key_fingerprint, public_key
from vms.home import from_environment

app = typer.Typer(no_args_is_help=True, help="The key of evidence packages, and checking a package.")


@app.command("key")
def key(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show the public key with which this installation signs; it may be given to everybody."""
    home = from_environment()
    if as_json:
        told = {"fingerprint": key_fingerprint(home), "public_key": public_key(home).hex(), "algorithm": "Ed25519"}
        sys.stdout.write(json.dumps(told) + "\n")
        return
    console = new_console()
    console.print(f"fingerprint  {key_fingerprint(home)}")
    console.print(f"public key   {public_key(home).hex()} (Ed25519)", soft_wrap=True)
    console.print("Give the fingerprint to those who check packages on another way than with the package.")


@app.command("check")
def check_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the package.")],
    signer: Annotated[
        str, typer.Option("--key", metavar="KEY", help="Who must have signed it; without it, this installation.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: whole, faults, facts.")] = False,
) -> None:
    """Say whether a package is as it was signed. Exit status 1 when it is not."""
    console, home = new_console(), from_environment()
    try:
        faults, facts = check(folder, signer or key_fingerprint(home))
    except (NotAPackage, OSError) as error:
        raise ConfigError(str(error), "Give the folder in which SHA256SUMS and SIGNATURE.json lie.") from error
    if as_json:
        told = {"whole": not faults, "faults": faults, "facts": facts}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        raise typer.Exit(1 if faults else 0)
    for fault in faults:
        console.print(f"[red]changed[/] {plain(fault)}", soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    console.print(f"[green]whole[/] All {facts['files']} files are as they were signed with {facts['fingerprint']}.")
