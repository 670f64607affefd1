"""The examples in monitoring/: every figure that they name exists, with the labels that they use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from viewer.figures import METRICS, NAMES
from vms.cli.app import COMMANDS

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
NOT_OURS = {"up"}
OF_PROMETHEUS = {"instance", "job"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def board() -> dict[str, Any]:
    return json.loads((FOLDER / "grafana.json").read_text())


def queries() -> list[tuple[str, str]]:
    """What is asked, by where."""
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for panel in board()["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel["targets"]]
    return found + [
        (one["name"], one["query"]["query"]) for one in board()["templating"]["list"] if one["type"] == "query"
    ]


@pytest.mark.parametrize(("where", "query"), queries())
def test_what_is_asked_exists(where: str, query: str) -> None:
    named = set(re.findall(r"\b(?:vms_\w+|up)\b", query)) - NOT_OURS
    assert named or "up{" in query, where
    assert named <= NAMES.keys()
    for name, matchers in re.findall(r"(vms_\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*=~?", matchers))
        assert labels <= {*NAMES[name][1], *OF_PROMETHEUS}, f"{where}: {name} has no such label"
    assert query.count("(") == query.count(")")


def test_every_figure_is_shown_or_watched() -> None:
    assert {name for _, query in queries() for name in re.findall(r"vms_\w+", query)} == NAMES.keys()


def test_that_the_products_alerts_stand_still_is_not_told_as_if_nothing_ran_at_all() -> None:
    """They do so, too, by a mistake in their part of sites.yaml and by a DAG that is paused."""
    (rule,) = (one for one in rules() if one["alert"] == "VmsNothingRuns")
    action = rule["annotations"]["action"]
    assert "sites.yaml" in action
    assert "paused" in action


def test_alerts_say_what_to_do_with_commands_that_exist_and_labels_that_their_figure_has() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        words = f"{rule['annotations']['summary']} {rule['annotations']['action']}"
        assert set(re.findall(r"\./vms ([a-z-]+)", words)) <= COMMANDS.keys(), rule["alert"]
        labels = {one for name in re.findall(r"vms_\w+", rule["expr"]) for one in NAMES[name][1]}
        assert set(re.findall(r"\$labels\.(\w+)", words)) <= labels | OF_PROMETHEUS, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


@pytest.mark.parametrize(
    ("alert", "age", "period"),
    [
        ("VmsSiteNotSensed", "vms_site_sensed_age_seconds", "vms_site_period_seconds"),
        ("VmsFootageStale", "vms_site_newest_footage_age_seconds", "vms_site_period_seconds"),
        ("VmsBackupOld", "vms_backup_timestamp_seconds", "vms_backup_period_seconds"),
    ],
)
def test_what_happens_rarely_by_sites_yaml_is_not_late(alert: str, age: str, period: str) -> None:
    (expr,) = [rule["expr"] for rule in rules() if rule["alert"] == alert]
    limit = expr.split(">")[1]
    assert (age in expr.split(">")[0], period in limit) == (True, True)

    def late_after(every_s: int) -> int:
        value: int = eval(limit.replace(period, str(every_s)), {"clamp_min": max})  # noqa: S307 (a rule of ours)
        return value

    week = 7 * 86_400
    assert late_after(week) > week
    assert late_after(600) <= 36 * 3600


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_prometheus_asks_where_the_figures_are() -> None:
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert (job["job_name"], job["metrics_path"], job["authorization"]["type"]) == ("vms", METRICS, "Bearer")
