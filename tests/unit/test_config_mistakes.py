"""Mistakes in sites.yaml: told with their place and a remedy, and leaving out no more than they must."""

from __future__ import annotations

import pytest
from sites_world import SITE, messages
from sites_world import vms_home as vms_home  # fixtures
from sites_world import write as write

from vms.config import load_config
from vms.errors import ConfigError


def test_a_mistake_in_the_uplink_of_defaults_stops_the_sites_that_have_none_of_their_own(write):
    path = write(
        f"defaults: {{uplink: fast}}\nsites:\n{SITE}- {{id: b, footage: /b, time_zone: WIB, uplink: 1 MB/s}}\n"
    )
    assert "defaults.uplink" in messages(path)["ho"][0]
    assert [site.id for site in load_config(path).sites] == ["b"]


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ("keep_sorce: 7d", "4:3", ['unknown key "keep_sorce"', 'Did you mean "keep_source"?']),
        ("every: 10x", "4:10", ['found "10x"', "allowed is a whole number with s, m, h, d or w"]),
        ("time_zone: Asia/Jakrta", "4:14", ['found "Asia/Jakrta"', 'Did you mean "Asia/Jakarta"?']),
        ("time_zone: Jakarta", "4:14", ['Did you mean "Asia/Jakarta"?']),
        ("profile: h265", "4:12", ['found "h265"', "av1, h264-seed, copy"]),
        ("stores: [nass]", "4:11", ['found "nass"', 'Did you mean "nas"?']),
        ("pattern: hikvison", "4:12", ['Did you mean "hikvision"?']),
        ("cameras: atuo", "4:12", ['allowed is "auto" or a list', 'Did you mean "auto"?']),
        ("cameras: [{id: Lobby 1}]", "4:18", ['found "Lobby 1"', "a-z, 0-9 and -"]),
        ("cameras: [{id: a}, {id: a}]", "4:27", ['the id "a" is given to two cameras']),
        ("enabled: maybe", "4:12", ['found "maybe"', "true or false"]),
        ("retention: 1h", "4:14", ["1d or more"]),
        ("staging: tmp", "4:12", ["absolute path"]),
        ("staging: /mnt/ho/staging", "3:12", ["lies inside this footage folder"]),
        ("staging: ${HOME}/x", "4:12", ["only ${VMS_HOME} is"]),
        ("uplink: 2 Mb/s", "4:11", ['found "2 Mb/s"', "kbit/s, Mbit/s, Gbit/s, kB/s, MB/s"]),
        ("uplink: 64 kbit/s", "4:11", ["allowed is 128 kbit/s or more"]),
        ("uplink: [7:00-9:00 1 MB/s, 8:00-10:00 2 MB/s]", "4:11", ['"7:00-9:00 1 MB/s" and "8:00-10:00 2 MB/s"']),
        ("uplink: {day: 2 Mbit/s}", "4:11", ["found keys and values", 'allowed is a cap such as "2 Mbit/s"']),
        ("name: [a]", "4:9", ["found a list", "a text"]),
        ("id: ho", "4:3", ['"id" is given twice', "line 2"]),
    ],
)
def test_a_mistake_in_a_site_names_place_find_and_nearest_word(write, line, place, said):
    path = write(f"sites:\n- id: ho\n  footage: /mnt/ho\n  {line}\ndefaults: {{time_zone: WIB}}\n")
    (message,) = messages(path)["ho"]
    assert message.startswith(place + ":"), message
    for part in said:
        assert part in message


def test_all_mistakes_of_a_site_are_told_together_and_the_other_sites_load(write):
    path = write(f"sites:\n{SITE}- id: bad\n  footage: rel\n  time_zone: WIBB\n  every: 1\n  profile: av2\n")
    assert len(messages(path)["bad"]) == 4
    assert [site.id for site in load_config(path).sites] == ["ho"]


def test_a_mistake_in_defaults_leaves_out_only_the_sites_that_use_it(write):
    path = write(f"defaults: {{every: soon}}\nsites:\n{SITE}- {{id: b, footage: /b, time_zone: WIB, every: 5m}}\n")
    assert messages(path) == {"ho": [messages(path)["ho"][0]]}
    assert "defaults.every" in messages(path)["ho"][0]
    assert [site.id for site in load_config(path).sites] == ["b"]


def test_a_misspelt_defaults_stops_all_sites_because_their_retention_would_be_another(write):
    path = write(f"defalts: {{retention: 400d}}\nsites:\n{SITE}")
    assert 'Did you mean "defaults"?' in messages(path)["ho"][0]


def test_a_broken_store_stops_its_sites_only(write):
    path = write(
        "stores: {s: {url: 'https://x/y'}, ok: {url: file:///mnt/ok}}\ndefaults: {time_zone: WIB}\n"
        "sites:\n- {id: a, footage: /a, stores: s}\n- {id: b, footage: /b, stores: ok}\n"
    )
    assert list(messages(path)) == ["a"]
    assert "file:///absolute/folder" in messages(path)["a"][0]


def test_a_broken_store_that_no_site_uses_is_told_beside_the_sites(write):
    path = write(f"stores: {{a: {{url: 'file:///a'}}, b: {{ulr: x}}}}\ndefaults: {{stores: a}}\nsites:\n{SITE}")
    assert 'Did you mean "url"?' in " ".join(messages(path)[""])
    assert [site.id for site in load_config(path).sites] == ["ho"]


def test_a_password_in_a_url_is_refused_and_never_shown(write):
    path = write(
        f"stores: {{a: {{url: 's3://key:hunter2@bucket'}}}}\nsites:\n{SITE}"
        "- {id: b, footage: 'smb://u:hunter2@nvr/x', time_zone: WIB}\n"
    )
    text = str(messages(path))
    assert "must not hold a user name or password" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("store", "words"),
    [
        ("{url: 's3://Company/x'}", "3 to 63 of a-z"),
        ("{url: 's3://company/a b'}", "letters, digits"),
        ("{url: 's3://company/x?y'}", '"?" and "#"'),
        ("{url: 's3://company/${VMS_HOME}'}", "no place in the URL of a bucket"),
        ("{url: 's3a://company/x'}", 'Did you mean "s3"?'),
        ("{url: 's3://company/x', storage_class: NEARLINE}", "STANDARD_IA"),
        ("{url: 'gs://company/x', storage_class: NEARLIN}", 'Did you mean "NEARLINE"?'),
        ("{url: 'file:///x', storage_class: NEARLINE}", "only stores at s3:// and gs://"),
        ("{url: 'file:///x', conn_id: nas}", "needs no connection"),
        ("{url: 's3://company/x', conn_id: 'aws://key:hunter2@/'}", "AIRFLOW_CONN_COMPANY_S3"),
        ("{url: 's3://company/x', password: hunter2}", 'unknown key "password"'),
    ],
)
def test_mistakes_in_a_bucket_s_store_are_told(write, store, words):
    text = str(messages(write(f"stores: {{a: {store}}}\nsites:\n{SITE}")))
    assert words in text
    assert "hunter2" not in text


def test_a_repeated_site_id_stops_both_because_nobody_knows_which_is_meant(write):
    path = write(f"sites:\n{SITE}{SITE}- {{id: b, footage: /b, time_zone: WIB}}\n")
    assert [line.split(":")[0] for line in messages(path)["ho"]] == ["2", "3"]
    assert [site.id for site in load_config(path).sites] == ["b"]


def test_a_store_inside_the_footage_folder_is_refused(write):
    path = write(f"stores: {{a: {{url: 'file:///mnt/ho/archive'}}}}\nsites:\n{SITE}")
    assert "lies inside this footage folder" in messages(path)["ho"][0]


def test_several_stores_and_none_chosen_is_a_question_not_a_guess(write):
    path = write(f"stores: {{a: {{url: 'file:///a'}}, b: {{url: 'file:///b'}}}}\nsites:\n{SITE}")
    assert "allowed are a, b" in messages(path)["ho"][0]


@pytest.mark.parametrize(
    ("regex", "said"),
    [
        ("(?P<camra>.*)", 'Did you mean "camera"?'),
        ("(?P<camera>", "no regular expression"),
        ("(?P<camera>.*)", "it needs groups for date and time"),
    ],
)
def test_an_own_pattern_must_be_readable(write, regex, said):
    path = write(
        f"patterns: {{p: {{regex: '{regex}'}}}}\nsites:\n- {{id: ho, footage: /f, time_zone: WIB, pattern: p}}\n"
    )
    assert said in messages(path)["ho"][0]


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        (b"", "is empty", ""),
        (b"# only a comment\n", "is empty", ""),
        (b"- a\n", "Found a list on top", ":1:1:"),
        (b"company: X\n", '"sites" is missing', ""),
        (b"sites:\n\t- id: ho\n", "tab", ":2:1:"),
        (b"company: caf\xe9\nsites: []\n", "not UTF-8", ":1:13:"),
        (b"sites: {a: b}\n", "not a list", ":1:8:"),
        (b"sites: []\nsites: []\n", "given twice", ":2:1:"),
        (b"company: a: b\n", "No valid YAML", ":1:"),
        (b"a: &x [*x]\nsites: []\nb: \x00\n", "no valid YAML", ""),
    ],
)
def test_a_file_that_is_no_configuration_says_so_with_a_remedy(write, text, said, place):
    path = write(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert said in str(raised.value)
    assert f"{path}{place}" in str(raised.value)
    assert raised.value.remedy


def test_a_missing_file_is_told_with_a_remedy(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "none.yaml")


def test_an_alias_that_contains_itself_ends(write):
    path = write(f"patterns: &x {{a: *x}}\nsites:\n{SITE}")
    assert "nested too deeply" in " ".join(messages(path)[""])
