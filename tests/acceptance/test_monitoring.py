"""Dashboard and alerts ask for what /metrics really answers, and Prometheus can read them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from docmill.errors import FAILURES, PROBLEMS
from docmill.measures import METRICS
from running import Docmill
from scraping import scrape

ROOT = Path(__file__).parent.parent.parent
MONITORING = ROOT / "docs" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "dashboard.json"

# A metric with the labels that it is asked for.
ASKED = re.compile(r"\b((?:docmill|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)!?=~?"([^"]*)"')
OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
GIVEN_BY_PROMETHEUS = {"job", "instance", "le"}
# What these labels may be.
VALUES = {
    "code": set(PROBLEMS),
    "reason": set(FAILURES),
    "stage": {"parse", "chunk", "embed"},
    "outcome": {"succeeded", "failed", "retried", "lease_expired", "released", "cancelled"},
    "status": {"completed", "failed", "cancelled"},
}


def promtool() -> str:
    found = shutil.which("promtool", path=f"{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("no promtool; scripts/ensure-tools.sh gets one from Debian's package")
    return found


def ran(*command: str | Path, given: str = "") -> str:
    done = subprocess.run(
        [promtool(), *map(str, command)], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> list[str]:
    """Every query of the dashboard, as Grafana would send it."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [e.replace("$__rate_interval", "5m").replace("$job", "docmill") for e in found]


def asked_for() -> Iterator[tuple[str, dict[str, str]]]:
    for text in [ALERTS.read_text(), *expressions()]:
        for name, labels in ASKED.findall(text):
            base = OF_A_HISTOGRAM.sub("", name)
            yield base if base in METRICS else name, dict(MATCHER.findall(labels))


def test_every_metric_that_is_asked_for_is_answered(docmill: Docmill) -> None:
    docmill.completed(docmill.upload("a.txt", b"watched"))
    told = scrape(docmill.http).names()
    of_others = {"docmill_worker_slots", "docmill_last_tick_age_seconds"}
    asked = {name for name, _ in asked_for()}
    assert len(asked) > 20
    assert asked <= told | of_others


def test_every_label_that_is_asked_for_is_there_and_may_be_that() -> None:
    for name, labels in asked_for():
        assert set(labels) <= {*METRICS[name].labels, *GIVEN_BY_PROMETHEUS}, name
        for label, value in labels.items():
            assert value in VALUES.get(label, {value}), (name, label, value)


def test_every_metric_about_the_service_is_on_the_dashboard() -> None:
    shown = {
        OF_A_HISTOGRAM.sub("", name) for text in expressions() for name, _ in ASKED.findall(text)
    }
    quiet = {"docmill_build_info", "docmill_database_up", "docmill_pool_waits_total"}
    ours = {name for name in METRICS if name.startswith("docmill_")}
    assert ours - quiet <= shown


def test_alerts_ring_when_they_should_and_else_not() -> None:
    assert "SUCCESS" in ran("check", "rules", ALERTS)
    assert "SUCCESS" in ran("test", "rules", ROOT / "tests" / "unit" / "alerts_test.yml")


def test_each_alert_is_documented_and_tested_to_ring() -> None:
    names = re.findall(r"alert: (\w+)", ALERTS.read_text())
    text = (ROOT / "docs" / "monitoring.md").read_text()
    rings = (ROOT / "tests" / "unit" / "alerts_test.yml").read_text()
    assert len(names) == len(set(names)) >= 10
    for name in names:
        assert f"`{name}`" in text
        assert re.search(rf"alertname: {name}\n\s+exp_alerts:\n", rings), name


def test_prometheus_can_read_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [{"record": f"shown:{n}", "expr": expr} for n, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "shown", "rules": rules}]}))  # JSON is YAML
    assert f"{len(rules)} rules found" in ran("check", "rules", file)


def test_prometheus_has_nothing_to_say_against_the_page(docmill: Docmill) -> None:
    said = ran("check", "metrics", given=scrape(docmill.http).text)
    assert said == ""
