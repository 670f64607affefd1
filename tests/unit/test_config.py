"""sites.yaml: what is right is loaded with its defaults, what is wrong is named with its place and the nearest word."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sites_world import SITE, messages
from sites_world import vms_home as vms_home  # fixtures
from sites_world import write as write

from vms.config import EXAMPLE, ensure_sites_file, load_config
from vms.config_yaml import read_document
from vms.errors import ConfigError
from vms.home import from_environment


def test_the_example_is_valid_and_works_at_once(tmp_path):
    config = load_config(EXAMPLE)
    assert config.errors == ()
    (site,) = config.sites
    assert site.footage == tmp_path / "home/footage/ho"
    assert [store.url for store in site.stores] == [f"file://{tmp_path}/home/nas"]
    assert (site.retention, site.every, site.keep_source) == (timedelta(days=180), timedelta(minutes=10), None)
    assert site.profile.codec == "av1"


def test_every_commented_line_of_the_example_is_valid_too(write):
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        text = line.lstrip()
        if (
            text.startswith("# ")
            and ":" in text
            and not text.startswith(("# A ", "# Dur", "# What", "# Where", "# Your", "# File", "# Never", "# (end"))
            and not text.startswith(("#   file:", "#   s3:", "#   gs:", "#   AIRFLOW_CONN", "#   {", "#" + " " * 12))
        ):
            line = line.replace("# ", "", 1)
        elif text.startswith("#"):
            continue
        lines.append(line)
    text = "\n".join(line for line in lines if not line.startswith("  vms "))
    config = load_config(write(text))
    assert config.errors == ()
    assert {store.conn_id for store in config.stores} == {"", "company_s3"}
    makassar = config.site("makassar")
    assert makassar.time_zone == "Asia/Makassar"
    assert [camera.match for camera in makassar.cameras] == ["ch01", "ch02"]
    assert makassar.keep_source == timedelta(days=7)
    assert not makassar.uplink.is_unlimited
    assert "sharp" in [profile.name for profile in config.profiles]
    assert "old-dvr" in [pattern.name for pattern in config.patterns]


def test_defaults_fill_what_a_site_does_not_say(write):
    config = load_config(
        write(
            "defaults: {time_zone: WIT, keep_source: 7d, retention: 30d, every: 1h, profile: copy, stores: [b]}\n"
            "stores: {a: {url: file:///mnt/a}, b: {url: file:///mnt/b}}\n"
            "sites:\n- {id: one, footage: /f}\n"
            "- {id: two, footage: /f, keep_source: keep, retention: 2w, stores: [a, b], time_zone: Europe/Berlin}\n"
        )
    )
    one, two = config.sites
    assert (one.time_zone, one.keep_source, one.every) == ("Asia/Jayapura", timedelta(days=7), timedelta(hours=1))
    assert (one.profile.name, [store.name for store in one.stores], one.name) == ("copy", ["b"], "one")
    assert (two.keep_source, two.retention, two.time_zone) == (None, timedelta(days=14), "Europe/Berlin")
    assert [store.name for store in two.stores] == ["a", "b"]


def test_the_uplink_is_a_timetable_that_a_site_may_have_its_own_of(write):
    config = load_config(
        write(
            "defaults:\n  time_zone: WIB\n  uplink: Mon-Fri 07:00-18:00 2 Mbit/s, else unlimited\n"
            "sites:\n- {id: one, footage: /f}\n- {id: two, footage: /f, uplink: unlimited}\n"
            "- id: three\n  footage: /f\n  uplink:\n  - Sat 08:00-12:00 4 Mbit/s\n  - else 20 Mbit/s\n"
        )
    )
    assert config.errors == ()
    assert [str(site.uplink) for site in config.sites] == [
        "Mon-Fri 07:00-18:00 2 Mbit/s, else unlimited",
        "unlimited",
        "Sat 08:00-12:00 4 Mbit/s, else 20 Mbit/s",
    ]


def test_without_a_word_of_it_the_uplink_is_unlimited(write):
    assert load_config(write(f"sites:\n{SITE}")).site("ho").uplink.is_unlimited


def test_exports_have_their_limits_and_a_mistake_in_them_stops_no_site(write):
    config = load_config(write(f"exports: {{keep: 3d, largest: 2GB}}\nsites:\n{SITE}"))
    assert (config.exports.keep, config.exports.largest) == (timedelta(days=3), 2 * 10**9)
    path = write(f"exports: {{keep: 5m}}\nsites:\n{SITE}")
    assert "allowed is 1h to 90d" in messages(path)[""][0]
    assert load_config(path).exports.keep == timedelta(days=7)
    assert [site.id for site in load_config(path).sites] == ["ho"]


def test_zero_days_is_not_for_ever(write):
    config = load_config(write("sites:\n- {id: ho, footage: /f, time_zone: WIB, keep_source: 0d}\n"))
    assert config.site("ho").keep_source == timedelta(0)


def test_words_that_yaml_would_turn_into_numbers_stay_words(write):
    path = write("sites:\n- {id: no, name: on, footage: /f, time_zone: WIB, cameras: [{id: 007, match: 1_0}]}\n")
    site = load_config(path).site("no")
    assert (site.name, site.cameras[0].id, site.cameras[0].match) == ("on", "007", "1_0")


def test_sites_that_name_one_staging_folder_do_not_share_what_lies_in_it(write):
    text = "time_zone: WIB, staging: /ssd"
    path = write(f"sites:\n- {{id: a, footage: /a, {text}}}\n- {{id: b, footage: /b, {text}}}\n")
    assert [site.staging for site in load_config(path).sites] == [Path("/ssd/a"), Path("/ssd/b")]


def test_stores_in_buckets_with_connection_and_storage_class(write):
    path = write(
        "stores:\n  a: {url: 's3://company-cctv/archive/', conn_id: company_s3, storage_class: standard_ia}\n"
        "  b: {url: 'gs://company-cctv', storage_class: NEARLINE}\n  c: {url: 's3://company-cctv'}\n"
        f"defaults: {{stores: [a, b, c]}}\nsites:\n{SITE}"
    )
    (site,) = load_config(path).sites
    assert [(one.url, one.conn_id, one.options.storage_class) for one in site.stores] == [
        ("s3://company-cctv/archive", "company_s3", "STANDARD_IA"),
        ("gs://company-cctv", "", "NEARLINE"),
        ("s3://company-cctv", "", ""),
    ]


def test_a_state_folder_with_odd_letters_gives_a_store_that_lies_in_it(write, tmp_path, monkeypatch):
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "a b#c?d%20"))
    (site,) = load_config(write(f"sites:\n{SITE}")).sites
    assert site.stores[0].url == f"file://{tmp_path}/a%20b%23c%3Fd%2520/nas"
    (site,) = load_config(EXAMPLE).sites
    assert site.stores[0].url == f"file://{tmp_path}/a%20b%23c%3Fd%2520/nas"
    assert site.footage == tmp_path / "a b#c?d%20/footage/ho"


def test_an_edit_takes_effect_without_a_restart_and_an_unchanged_file_is_not_read_again(write):
    path = write(f"sites:\n{SITE}")
    first = load_config(path)
    assert load_config(path) is first
    write(f"sites:\n{SITE}- {{id: b, footage: /b, time_zone: WIB}}\n")
    assert [site.id for site in load_config(path).sites] == ["ho", "b"]


def test_one_site_alone_can_be_asked_for(write):
    path = write(f"sites:\n{SITE}- {{id: b, footage: rel}}\n")
    assert [site.id for site in load_config(path, only_site="ho").sites] == ["ho"]
    assert load_config(path, only_site="ho").errors == ()
    with pytest.raises(ConfigError, match="The sites are: ho"):
        load_config(path, only_site="hoo").site("hoo")


def fleet(count: int) -> str:
    """Sites as block text, each with a camera whose id is the id of another site's neighbour."""
    return "company: Fleet\nsites:\n# the branches\n" + "".join(
        f"  - id: branch-{number}\n    footage: /mnt/{number}\n    time_zone: WIB  # of its own\n    cameras:\n"
        f"      - id: lobby\n      - id: gate-{number}\n"
        for number in range(count)
    )


def test_for_one_of_a_thousand_sites_the_others_are_not_read(write):
    path = write(fleet(1000) + "stores: {nas: {url: 'file:///mnt/nas'}}\n")
    assert len(read_document(path).sites) == 1000
    (alone,) = read_document(path, "branch-7").sites
    assert alone.data["footage"] == "/mnt/7"
    (site,) = load_config(path, "branch-7").sites
    assert site == load_config(path).site("branch-7")
    assert [store.url for store in site.stores] == ["file:///mnt/nas"]


def test_a_mistake_of_a_site_that_is_read_alone_has_the_same_place(write):
    path = write(
        fleet(20) + "  - id: lost\n    footage: /mnt/lost\n    tiem_zone: WIB\n" + fleet(3).split("# the branches\n")[1]
    )
    whole = {error.id: error.message for error in load_config(path).errors}
    assert whole.keys() == {"branch-0", "branch-1", "branch-2", "lost"}  # one misspelt, the others given twice
    for site, message in whole.items():
        (error,) = load_config(path, site).errors
        assert error.message == message


@pytest.mark.parametrize(
    "sites",
    [
        "  - &first\n    id: a\n    footage: /mnt/a\n    time_zone: WIB\n  - <<: *first\n    id: b\n",
        '  - id: a\n    name: "long\n  - id: b\n  name"\n    footage: /mnt/a\n  - id: b\n    footage: /mnt/a\n',
        "  - {id: b,\n  footage: /mnt/a}\n  - id: a\n    footage: /mnt/c\n",
        '  - footage: /mnt/a\n    "id": b\n  - id: c\n    footage: /mnt/c\n',
        '  - id: "\\x62"\n    footage: /mnt/a\n',
        "    - id: a\n      footage: /mnt/c\n\n# b\n    - id: b\n      name: Jum'at * & Co\n      footage: /mnt/a\n",
    ],
)
def test_however_the_sites_are_written_one_read_alone_is_the_same_as_among_all(write, sites):
    path = write("defaults: {time_zone: WIB}\nsites:\n" + sites)
    assert load_config(path).errors == ()
    assert load_config(path, "b").site("b") == load_config(path).site("b")
    assert load_config(path).site("b").footage == Path("/mnt/a")


def test_asking_for_a_broken_site_tells_its_mistakes(write):
    path = write(f"sites:\n{SITE}- {{id: b, footage: rel, time_zone: WIB}}\n")
    with pytest.raises(ConfigError, match="absolute path"):
        load_config(path).site("b")


def test_a_thousand_sites_load_whole(write):
    text = "defaults: {time_zone: WIB}\nsites:\n" + "".join(
        f"- {{id: s{number}, footage: /mnt/{number}, cameras: [{{id: a}}, {{id: b}}]}}\n" for number in range(1000)
    )
    assert len(load_config(write(text)).sites) == 1000


def test_the_first_start_makes_the_users_file_and_never_overwrites_it(tmp_path):
    home = from_environment({"VMS_HOME": str(tmp_path), "VMS_SITES": str(tmp_path / "new/sites.yaml")})
    assert ensure_sites_file(home)
    assert home.sites_file.read_text() == EXAMPLE.read_text()
    home.sites_file.write_text("mine")
    assert not ensure_sites_file(home)
    assert home.sites_file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_place_for_the_users_file_is_told(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    home = from_environment({"VMS_HOME": str(tmp_path), "VMS_SITES": str(tmp_path / "locked/sites.yaml")})
    with pytest.raises(ConfigError, match="can't be made"):
        ensure_sites_file(home)


def test_a_site_runs_at_the_centre_unless_it_or_the_defaults_say_otherwise(write):
    config = load_config(
        write(
            "defaults: {time_zone: WIB, runs_on: edge}\nsites:\n- {id: one, footage: /f}\n"
            "- {id: two, footage: /f, runs_on: worker}\n- {id: three, footage: /f, runs_on: central}\n"
        )
    )
    assert {site.id: site.runs_on for site in config.sites} == {"one": "edge", "two": "worker"}
    assert 'Did you mean "centre"?' in config.errors[0].message
    assert load_config(write(f"sites:\n{SITE}")).site("ho").runs_on == "centre"
