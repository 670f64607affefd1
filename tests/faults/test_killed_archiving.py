"""The way of a file, killed anywhere: no source gone without proof, no duplicate object, every file accounted for,
lineage complete. The seed says what lies in the folder, where it is killed, and whether its run is continued."""

from __future__ import annotations

import random
from pathlib import Path

from fault_world import FaultWorld, MakeWorld, calm_points, killed
from invariants import AT_THE_END, check

SPECIAL = ("second", "small", "damaged", "no footage")


def filled(world: FaultWorld, clips: dict[str, Path], special: str) -> FaultWorld:
    world.leave("lobby/20260131_235958.mp4", clips["first"])
    world.leave("gate/20260131_100000 {{ 7 * 7 }}.mp4", clips[special])
    return world


def test_archive_killed_anywhere(seed: int, make_world: MakeWorld, clips: dict[str, Path]) -> None:
    calm_points("archive", lambda: filled(make_world(), clips, "second"))
    world = filled(make_world(), clips, SPECIAL[seed % len(SPECIAL)])
    if seed % 5 == 4:  # archived with one copy while the other store is away, which is caught up on
        world.min_copies = 1
        world.configure()
        world.nas.write_text("no folder: nothing is mounted here")

    def mount(_: int) -> None:
        if world.nas.is_file():
            world.nas.unlink()

    killed(world, "archive", seed, between=mount)
    mount(0)
    if random.Random(seed).random() < 0.3:
        world.live("archive", "run 1")  # an operator clears the first run, however long ago it was killed
    world.all_runs()
    world.all_runs("an hour later", shift_s=3700)  # a release that was killed before it was recorded waits for so long
    check(world.look(), *AT_THE_END)


def test_branch_killed_anywhere(seed: int, make_world: MakeWorld, clips: dict[str, Path]) -> None:
    """The same where the site's own steps can't look into the bucket, and the centre does it for them."""
    calm_points("branch", lambda: filled(make_world(), clips, "second"))
    world = filled(make_world(), clips, SPECIAL[seed % len(SPECIAL)])
    killed(world, "branch", seed)
    world.all_runs(way="branch")
    world.all_runs("an hour later", "branch", shift_s=3700)
    check(world.look(), *AT_THE_END)
