"""What a branch gets of sites.yaml means the same for its site, and tells nothing of anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vms.branches import site_slice
from vms.branches.site_slice import slice_of, tag_of
from vms.config import load_config
from vms.config_yaml import read_document
from vms.errors import ConfigError

WHOLE = r"""
company: Rahasia Tbk
defaults:
  time_zone: WIB
  stores: [cloud]
  profile: sharp
  keep_source: 7d
  retention: 180d
  uplink: 2 Mbit/s
  fallback: spare
stores:
  cloud: {url: "s3://company-cctv/archive", conn_id: company_s3, storage_class: STANDARD_IA}
  spare: {url: "s3://spare/x", conn_id: spare_s3}
  hq-nas: {url: "file:///mnt/secret-nas"}
profiles:
  sharp: &sharp {codec: av1, preset: 8, crf: 30}
  av1: {<<: *sharp, crf: 40}
  other: {codec: h264}
patterns:
  old-dvr: {regex: '^(?P<camera>[^/]+)/(?P<date>\d{8})/(?P<time>\d{6})_END\.avi$', time_is: end}
  new-dvr: {regex: '^(?P<camera>[^/]+)/(?P<epoch>\d+)\.mp4$'}
alerts: {targets: {operations: alerts_telegram}}
sign_in: {issuer: "https://login.rahasia.example", conn_id: company_login, create: true, sees: [ho]}
sites:
  - {id: ho, footage: /srv/ho, stores: [hq-nas]}
  - id: "007"
    name: "Makassar: gudang # dua"
    footage: ${VMS_HOME}/dvr
    pattern: old-dvr
    keep_source:
    cameras: [{id: no, match: "01", retention: 30d}, {id: "1e3", schedule: "Mon-Sat 07:00-19:00"}]
    schedule: always
  - {id: bare, footage: /srv/bare, fallback: hq-nas, profile: av1, retention: 30d}
  - {id: broken, footage: relative/path}
"""
OTHERS = ("Rahasia", "hq-nas", "secret", "alerts", "login", "sign_in", "/srv/ho", "other", "new-dvr")


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    path = tmp_path / "sites.yaml"
    path.write_text(WHOLE)
    return path


@pytest.mark.parametrize("site", ["ho", "007", "bare"])
def test_the_slice_means_the_same_for_its_site(whole: Path, tmp_path: Path, site: str) -> None:
    path = tmp_path / "slice.yaml"
    path.write_text(slice_of(whole, site))
    config = load_config(path)
    assert not config.errors
    assert config.sites == (load_config(whole).site(site),)
    assert {one.name for one in config.patterns} <= {load_config(whole).site(site).pattern}


def test_the_slice_tells_of_nobody_else(whole: Path) -> None:
    text = slice_of(whole, "007")
    assert [word for word in OTHERS if word in text] == []
    assert "old-dvr" in text
    assert "spare_s3" in text
    assert "broken" not in text


def test_a_store_that_needs_no_naming_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMS_HOME", str(tmp_path / "home"))
    for stores in ("stores: {only: {url: 's3://one/x'}}\n", ""):
        path = tmp_path / "sites.yaml"
        path.write_text(f"{stores}sites: [{{id: jkt, footage: /srv/jkt, time_zone: WIB}}]\n")
        part = tmp_path / "slice.yaml"
        part.write_text(slice_of(path, "jkt"))
        assert load_config(part).sites == load_config(path).sites


def test_a_site_with_a_mistake_or_none_is_refused(whole: Path) -> None:
    for site in ("broken", "nowhere"):
        with pytest.raises(ConfigError):
            slice_of(whole, site)


def test_all_of_sites_yaml_is_read_once_however_many_branches_ask(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each asks once a minute; a thousand sites take a second to read."""
    read: list[Path] = []
    monkeypatch.setattr(site_slice, "read_document", lambda path: read.append(path) or read_document(path))
    first = [slice_of(whole, site) for site in ("ho", "007", "bare", "007")]
    assert len(read) == 1
    whole.write_text(WHOLE.replace("/srv/bare", "/srv/elsewhere"))
    again = [slice_of(whole, site) for site in ("ho", "007", "bare", "007")]
    assert len(read) == 2
    assert [one == other for one, other in zip(first, again, strict=True)] == [True, True, False, True]


def test_only_a_change_of_the_own_site_changes_the_tag(whole: Path) -> None:
    first = tag_of(slice_of(whole, "007"))
    whole.write_text(WHOLE.replace("/srv/ho", "/srv/elsewhere"))
    assert tag_of(slice_of(whole, "007")) == first
    whole.write_text(WHOLE.replace("2 Mbit/s", "3 Mbit/s"))
    assert tag_of(slice_of(whole, "007")) != first
