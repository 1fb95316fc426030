"""What docmill is deployed with: linted and rendered as far as no engine and no cluster is needed.

`make check` runs this file. What needs a program that is not here is skipped with a sentence.
"""

import dataclasses
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from docmill import __version__
from docmill.cli import COMMANDS
from docmill.config import Settings, read_settings, variable

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "docmill"
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
BESIDE_PYTHON = Path(sys.executable).parent
SECRETS = {row.name for row in dataclasses.fields(Settings) if row.metadata["secret"]}
VARIABLES = {variable(row.name) for row in dataclasses.fields(Settings)}


def program(name: str) -> str:
    """The path of a program of this environment or of the system."""
    found = shutil.which(name, path=BESIDE_PYTHON) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here, so what it would look at was not looked at")
    return found


def run(*command: str | Path) -> None:
    """Run what must end well and say nothing of trouble."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# the image and compose.yaml --------------------------------------------------------------


def test_the_dockerfile_passes_its_linter() -> None:
    run(program("hadolint"), ROOT / "Dockerfile")


def test_the_image_is_given_all_that_the_dockerfile_copies() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    }
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_wants_to_know_who_asks_and_runs_without_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    env = dict(re.findall(r"(DOCMILL_\w+)=(\S+)", text))
    assert set(env) <= VARIABLES
    settings = read_settings(env)
    assert (settings.host, settings.is_open) == ("0.0.0.0", False)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert text.index("\nUSER") < text.index("\nENTRYPOINT")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return loaded


def test_compose_is_what_its_specification_says() -> None:
    check = program("check-jsonschema")
    run(check, "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml")


def test_compose_migrates_first_and_runs_two_workers_without_rights_or_secrets() -> None:
    services = compose()["services"]
    ours = {name: service for name, service in services.items() if name != "postgres"}
    assert set(ours) == {"migrate", "api", "worker"}
    for name, service in ours.items():
        assert service["command"][0] in COMMANDS
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        waits_for = "postgres" if name == "migrate" else "migrate"
        assert waits_for in service["depends_on"]
        given = {key for key in service["environment"] if key.startswith("DOCMILL_")}
        assert given <= VARIABLES
    assert ours["worker"]["deploy"]["replicas"] == 2
    assert ours["api"]["ports"][0].startswith("${DOCMILL_PUBLISH:-127.0.0.1:")


def test_compose_asks_for_passwords_and_has_none() -> None:
    given = [
        (name, text)
        for service in compose()["services"].values()
        for name, text in service["environment"].items()
        if name == "POSTGRES_PASSWORD" or name.removeprefix("DOCMILL_").lower() in SECRETS
    ]
    assert len(given) == 4
    assert all("${POSTGRES_PASSWORD:?" in text for _, text in given)


# the chart -------------------------------------------------------------------------------

VALUES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "everything": {
        "image": {"repository": "example.com/docmill", "tag": "1", "pullSecrets": [{"name": "a"}]},
        "database": {"apiUrlKey": "api", "workerUrlKey": "worker"},
        "settings": {"auth": "keys,jwt", "max_upload_bytes": 2_147_483_648, "lease_seconds": 7.5},
        "secretSettings": ["docmill-secrets"],
        "tick": {"enabled": True},
        "ingress": {"enabled": True, "className": "a", "tlsSecret": "b", "annotations": {"a": "b"}},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "ticks alone": {"worker": {"replicas": 0}, "tick": {"enabled": True}},
    "no migration": {"migrate": {"enabled": False}, "podDisruptionBudget": {"enabled": False}},
    "an autoscaler": {"worker": {"replicas": None}},
}  # fmt: skip
KUBERNETES = ("1.27", "1.37")


@pytest.fixture(scope="module")
def helm() -> Any:
    """Helm itself, as a library."""
    if importlib.util.find_spec("helm_python") is None:
        pytest.skip("Helm's library is not here (Linux on x86-64 has it), so nothing was rendered")
    return importlib.import_module("helm_python")


@pytest.fixture(scope="module", params=VALUES)
def manifests(helm: Any, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(helm, VALUES[request.param])


def rendered(helm: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="demo", namespace="documents")
    texts = (text for name, text in files.items() if name.endswith(".yaml"))
    return [part for text in texts for part in yaml.safe_load_all(text) if part]


def pods(manifests: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods' specifications, by their component."""
    for manifest in manifests:
        spec = manifest["spec"]
        if manifest["kind"] == "Pod":
            yield "ready", spec
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            template = spec["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]


def test_the_chart_passes_helms_own_linter(helm: Any) -> None:
    for values in VALUES.values():
        report = helm.lint(str(CHART), values, strict=True)
        assert (report["errors"], [m for m in report["messages"] if m["severity"] > 1]) == ([], [])


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_manifest_is_what_kubernetes_takes(
    manifests: list[dict[str, Any]], version: str
) -> None:
    assert manifests
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_pods_have_no_root_no_rights_and_nothing_to_write_to(
    manifests: list[dict[str, Any]],
) -> None:
    for _, pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True
        assert confined["allowPrivilegeEscalation"] is False
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


def test_pods_run_commands_that_there_are_with_settings_that_docmill_takes(
    manifests: list[dict[str, Any]],
) -> None:
    for component, pod in pods(manifests):
        (container,) = pod["containers"]
        if component == "ready":
            continue
        assert container["args"][0] in COMMANDS
        env = {one["name"]: one.get("value") for one in container["env"]}
        assert set(env) <= VARIABLES
        # A listening address is the image's; without authentication this raises.
        read_settings(
            {"DOCMILL_HOST": "0.0.0.0", **{k: v for k, v in env.items() if v is not None},
             "DOCMILL_JWT_ISSUER": "https://a.example", "DOCMILL_JWKS_URL": "https://a.example/k"}
        )  # fmt: skip
        for one in container["env"]:
            secret = one["name"].removeprefix("DOCMILL_").lower() in SECRETS
            assert ("valueFrom" in one) is secret, one


def test_only_the_migration_knows_the_admin_where_logins_are_given(helm: Any) -> None:
    known = {
        component: {one["name"] for one in pod["containers"][0]["env"] if "valueFrom" in one}
        for component, pod in pods(rendered(helm, VALUES["everything"]))
        if component != "ready"
    }
    assert known == {
        "migrate": {"DOCMILL_DATABASE_URL"},
        "api": {"DOCMILL_API_DATABASE_URL", "DOCMILL_WORKER_DATABASE_URL"},
        "worker": {"DOCMILL_WORKER_DATABASE_URL"},
        "tick": {"DOCMILL_WORKER_DATABASE_URL"},
    }


def test_numbers_reach_docmill_as_they_are_written(helm: Any) -> None:
    (api,) = (pod for name, pod in pods(rendered(helm, VALUES["everything"])) if name == "api")
    env = {one["name"]: one.get("value") for one in api["containers"][0]["env"]}
    assert env["DOCMILL_MAX_UPLOAD_BYTES"] == "2147483648"
    assert env["DOCMILL_LEASE_SECONDS"] == "7.5"


def test_selectors_services_and_budgets_find_their_pods(manifests: list[dict[str, Any]]) -> None:
    labels = [
        manifest["spec"]["template"]["metadata"]["labels"]
        for manifest in manifests
        if manifest["kind"] == "Deployment"
    ]
    for manifest in manifests:
        if manifest["kind"] not in {"Deployment", "Service", "PodDisruptionBudget"}:
            continue
        selector = manifest["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert sum(wanted.items() <= of_pod.items() for of_pod in labels) == 1, manifest


@pytest.mark.parametrize(
    "values",
    [
        {"api": {"replica": 3}},
        {"api": {"readinessPath": "/"}},
        {"settings": {"database_url": "postgresql://secret@db/docmill"}},
        {"settings": {"MAX_UPLOAD_BYTES": "1GiB"}},
        {"service": {"port": 0}},
        {"tick": {"maxSeconds": "long"}},
    ],
)
def test_values_that_are_misspelt_or_secret_are_refused(helm: Any, values: dict[str, Any]) -> None:
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmValuesError):
        chart.validate_schema(values)


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_schema_of_values_knows_every_value_and_every_secret(helm: Any) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    with helm.Chart.load(str(CHART)) as chart:
        values = chart.values
    assert set(schema) - {"global"} == set(values)
    for name, part in values.items():
        if isinstance(part, dict) and "properties" in schema[name]:
            assert set(schema[name]["properties"]) == set(part), name
    assert set(schema["settings"]["propertyNames"]["not"]["enum"]) >= SECRETS


# systemd ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_systemd_takes_the_unit_and_finds_it_confined(unit: Path, tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(unit.read_text().replace("/opt/docmill/bin/docmill", sys.executable))
    (tmp_path / unit.name).write_text(copy.read_text())
    done = subprocess.run([analyze, "verify", copy], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if unit.name.startswith("docmill-tick"):
        return
    run(analyze, "security", "--offline=yes", "--threshold=20", copy)


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_units_start_commands_that_there_are(unit: Path) -> None:
    command = r"^ExecStart=/opt/docmill/bin/docmill (\w+)"
    started = re.findall(command, unit.read_text(), re.MULTILINE)
    assert len(started) == 1
    assert started[0] in COMMANDS
