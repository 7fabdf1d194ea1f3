"""The manifests of deploy/kubernetes: valid by the schemas of Kubernetes and KEDA, and fit for a worker."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.support.keda_schema import SCALED_OBJECT, TRIGGER_AUTHENTICATION
from tests.support.running import ROOT
from worker.config.secrets import S3_KEYS, SETTINGS
from worker.config.settings import Settings, read_settings

MANIFESTS = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.37")
KEDA = {"ScaledObject": SCALED_OBJECT, "TriggerAuthentication": TRIGGER_AUTHENTICATION}
OVERLAYS = ("cpu", "gpu")
KNOWN = {str(field.validation_alias) for field in Settings.model_fields.values()}

Documents = list[dict[str, Any]]


def validate(document: dict[str, Any]) -> None:
    if document["kind"] in KEDA:
        jsonschema.validate(document, KEDA[document["kind"]])
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def build(folder: Path) -> Documents:
    """The documents of an overlay, as `kubectl apply -k` would send them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    version = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True)
    if not re.search(r"Kustomize Version: v([5-9]|\d\d)", version.stdout):
        pytest.skip("this kubectl is older than 1.27: it cannot read components and patches")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # no warning of what is deprecated
    return list(YAML(typ="safe").load_all(done.stdout))


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request) -> Documents:
    return build(MANIFESTS / request.param)


@pytest.fixture(scope="module")
def base() -> Documents:
    """The files of the base as they are written; no kubectl is needed for them."""
    files = [path for path in sorted((MANIFESTS / "base").glob("*.yaml")) if path.stem != "kustomization"]
    return [document for path in files for document in YAML(typ="safe").load_all(path)]


def of_kind(documents: Documents, kind: str) -> Documents:
    found = [each for each in documents if each["kind"] == kind]
    assert found, kind
    return found


def containers(documents: Documents) -> list[dict[str, Any]]:
    specs = [each["spec"]["template"]["spec"] for each in of_kind(documents, "Deployment")]
    return [each for spec in specs for each in (*spec["containers"], *spec.get("initContainers", ()))]


def worker(documents: Documents) -> dict[str, Any]:
    (found,) = (each for each in of_kind(documents, "Deployment") if each["metadata"]["name"] == "worker")
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_each_file_of_the_base_is_valid(base):
    assert len(base) == 11
    for document in base:
        validate(document)


def test_the_files_of_the_base_are_all_in_use(base):
    listed = YAML(typ="safe").load(MANIFESTS / "base" / "kustomization.yaml")["resources"]
    assert set(listed) == {path.name for path in (MANIFESTS / "base").glob("*.yaml")} - {"kustomization.yaml"}


def test_each_document_of_an_overlay_is_valid(overlay):
    for document in overlay:
        validate(document)


def test_a_wrong_document_is_refused(base):
    wrong = copy.deepcopy(of_kind(base, "Deployment")[0])
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)
    (scaled,) = copy.deepcopy(of_kind(base, "ScaledObject"))
    scaled["spec"]["triggers"][0]["metadata"]["threshold"] = 4  # KEDA wants a text
    with pytest.raises(jsonschema.ValidationError):
        validate(scaled)


def test_the_redis_lists_can_be_scaled_by_in_place_of_prometheus(tmp_path):
    folder = tmp_path / "overlay"
    folder.mkdir()
    shutil.copytree(MANIFESTS, tmp_path / "kubernetes")
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        "resources: [../kubernetes/cpu]\ncomponents: [../kubernetes/redis-list]\n"
    )
    documents = build(folder)
    for document in documents:
        validate(document)
    (scaled,) = of_kind(documents, "ScaledObject")
    assert [each["metadata"]["listName"] for each in scaled["spec"]["triggers"]] == [
        "celery",
        "pose:arrivals",
    ]
    # Retries and announcements by S3 are in no list: somebody has to be there for them.
    assert scaled["spec"]["minReplicaCount"] == 1


def test_nobody_is_root_and_nothing_is_written_into_the_image(overlay):
    for deployment in of_kind(overlay, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        assert pod["automountServiceAccountToken"] is False
    for container in containers(overlay):
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_a_worker_has_more_time_to_end_than_it_takes(overlay):
    grace = Settings.model_fields["shutdown_grace_s"].default
    assert worker(overlay)["terminationGracePeriodSeconds"] > grace + 5


def test_liveness_and_readiness_are_what_health_says(overlay):
    (container,) = worker(overlay)["containers"]
    health = ["python", "-m", "worker", "health"]
    assert container["startupProbe"]["exec"]["command"] == health
    assert container["livenessProbe"]["exec"]["command"] == health
    assert container["readinessProbe"]["exec"]["command"] == [*health, "--ready"]
    probes = [container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]
    assert all(probe["timeoutSeconds"] >= 30 for probe in probes)


def test_there_is_one_beat_and_flower_wants_a_password(overlay):
    by_name = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "Deployment")}
    assert by_name["beat"]["replicas"] == 1
    assert "replicas" not in by_name["worker"]  # KEDA sets them
    assert "FLOWER_BASIC_AUTH=" in by_name["flower"]["template"]["spec"]["containers"][0]["command"][-1]


def test_every_variable_is_a_setting_and_no_secret_stands_in_it(overlay):
    (settings,) = of_kind(overlay, "ConfigMap")
    names = {each["name"] for container in containers(overlay) for each in container.get("env", ())}
    assert {*settings["data"], *names} <= KNOWN | {f"{name}_FILE" for name in (*SETTINGS, *S3_KEYS)}
    assert not {*settings["data"], *names} & {*SETTINGS, *S3_KEYS}
    assert not [each for each in overlay if each["kind"] == "Secret"]


def test_every_secret_file_that_is_read_is_mounted(overlay):
    (settings,) = of_kind(overlay, "ConfigMap")
    for deployment in of_kind(overlay, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        uses_settings = "envFrom" in pod["containers"][0]
        text = str(pod["containers"]) + str(settings["data"] if uses_settings else "")
        (volume,) = (each["secret"] for each in pod["volumes"] if "secret" in each)
        assert set(re.findall(r"/run/secrets/pose-worker/(\w+)", text)) == {
            item["key"] for item in volume["items"]
        }


def test_selectors_find_their_pods(overlay):
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind(overlay, "Deployment")]
    wanted = [each["spec"]["selector"] for each in of_kind(overlay, "Service")]
    wanted += [each["spec"]["selector"]["matchLabels"] for each in of_kind(overlay, "PodDisruptionBudget")]
    for selector in wanted:
        assert any(selector.items() <= each.items() for each in labels)
    (scaled,) = of_kind(overlay, "ScaledObject")
    names = {each["metadata"]["name"] for each in of_kind(overlay, "Deployment")}
    assert scaled["spec"]["scaleTargetRef"]["name"] in names


def test_prometheus_finds_beat_and_each_worker_by_the_names_of_its_configuration(overlay):
    jobs = YAML(typ="safe").load(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "Service")}
    by_name = {job["job_name"]: job for job in jobs}
    assert by_name["pose-beat"]["static_configs"] == [{"targets": ["beat:9464"]}]
    (found,) = by_name["pose-worker"]["dns_sd_configs"]
    assert services[found["names"][0]]["clusterIP"] == "None"
    assert services[found["names"][0]]["publishNotReadyAddresses"] is True
    assert {port["port"] for each in services.values() for port in each["ports"]} == {found["port"]}


def test_pods_are_closed_but_for_prometheus(overlay):
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    opened = [rule for spec in policies.values() for rule in spec.get("ingress", ())]
    assert [port["port"] for rule in opened for port in rule["ports"]] == [9464]
    assert all(rule["from"] for rule in opened)


def test_a_gpu_worker_has_a_gpu_and_its_weights_before_it_starts():
    documents = build(MANIFESTS / "gpu")
    pod = worker(documents)
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    (settings,) = of_kind(documents, "ConfigMap")
    (weights,) = pod["initContainers"]
    assert weights["command"] == ["pose", "weights", "pull"]
    assert {"name": "WEIGHTS_URL", "value": settings["data"]["WEIGHTS_URL"]} in weights["env"]
    assert weights["image"] == pod["containers"][0]["image"]


def test_the_page_on_deployment_makes_every_secret_that_is_read(overlay):
    page = (ROOT / "docs" / "deployment.md").read_text()
    volumes = [
        volume["secret"]
        for each in of_kind(overlay, "Deployment")
        for volume in each["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    ]
    assert set(re.findall(r"--from-file=(\w+)", page)) == {
        item["key"] for secret in volumes for item in secret["items"]
    }
    assert {secret["secretName"] for secret in volumes} == set(re.findall(r"secret generic (\S+)", page))
    for path in re.findall(r"kubectl apply -k (\S+)", page):
        assert (ROOT / path / "kustomization.yaml").exists()
    assert set(re.findall(r"kubectl -n (\S+)", page)) == {
        each["metadata"]["namespace"] for each in overlay[1:]
    }


def test_the_settings_can_be_used(overlay, tmp_path, monkeypatch):
    (settings,) = of_kind(overlay, "ConfigMap")
    contents = {
        "broker_url": "rediss://:word@redis.example.org:6379/0",
        "result_backend": "rediss://:word@redis.example.org:6379/1",
    }
    for name, value in settings["data"].items():
        if name.endswith("_FILE"):
            path = tmp_path / Path(value).name
            path.write_text(contents.get(path.name, "key"))
            value = str(path)
        monkeypatch.setenv(name, value)
    found = read_settings()
    assert found.broker_url.startswith(contents["broker_url"])
    assert (found.metrics_port, found.arrivals_list, found.concurrency) == (9464, "pose:arrivals", 2)
    assert found.scans_url == "s3://scans"
