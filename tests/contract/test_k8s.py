"""Policies on the manifests under k8s/. No cluster is asked: what one would do with them is not tested."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from plurality.cli import app as cli
from service.settings import Settings, read_settings
from tests.contract import image_lint
from tests.contract.image_lint import ROOT, documents, lint_kustomization, lint_manifest, manifests

K8S = ROOT / "k8s"
Manifest = dict[str, Any]
DOCUMENTS = [entry for path in manifests(K8S) for entry in documents(path)]
UNIT = {"Mi": 2**20, "Gi": 2**30}


def _the(kind: str, name: str = "plurality") -> Manifest:
    (found,) = [entry for entry in DOCUMENTS if (entry["kind"], entry["metadata"]["name"]) == (kind, name)]
    return found


DEPLOYMENT = _the("Deployment")
JOB = _the("Job", "plurality-trainer")
PODS: dict[str, Manifest] = {
    kind: entry["spec"]["template"] for kind, entry in (("Deployment", DEPLOYMENT), ("Job", JOB))
}
SERVICE_POD: Manifest = PODS["Deployment"]["spec"]
(SERVICE,) = SERVICE_POD["containers"]
CONTAINERS: list[tuple[Manifest, Manifest]] = [
    (pod["spec"], container)
    for pod in PODS.values()
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
]
EACH_POD = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())
EACH_CONTAINER = pytest.mark.parametrize(
    ("pod", "container"), CONTAINERS, ids=[container["name"] for _, container in CONTAINERS]
)


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNIT[quantity[-2:]]


def _written(container: Manifest) -> dict[str, str]:
    """Environment variables with a value of their own, and CPU requests as the kubelet fills them in: rounded up."""
    values = {}
    for entry in container["env"]:
        reference = entry.get("valueFrom", {}).get("resourceFieldRef", {}).get("resource")
        values[entry["name"]] = (
            container["resources"]["requests"]["cpu"] if reference == "requests.cpu" else entry["value"]
        )
    return values


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service reads from the Deployment's environment."""
    ours = {key: value for key, value in _written(SERVICE).items() if key.startswith("PLURALITY_")}
    for key in [key for key in os.environ if key.startswith("PLURALITY_")]:
        monkeypatch.delenv(key)
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    return read_settings({}, ours)


def test_lint_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """`make image-lint` finds nothing, and looks at every file."""
    assert image_lint.main() == 0
    shown = capsys.readouterr().out
    assert all(str(path.relative_to(ROOT)) in shown for path in (*manifests(K8S), *K8S.rglob("kustomization.yaml")))


def test_probes(settings: Settings) -> None:
    """Three probes, three paths, all on the second port; five minutes to load, four seconds to leave the routing."""
    ports = {entry["name"]: entry["containerPort"] for entry in SERVICE["ports"]}
    assert ports == {"http": settings.http.port, "ops": settings.http.ops_port}
    assert settings.http.port != settings.http.ops_port
    probes = {
        name: (probe["httpGet"], probe["periodSeconds"], probe["failureThreshold"], probe["timeoutSeconds"])
        for name, probe in SERVICE.items()
        if name.endswith("Probe")
    }
    assert probes == {
        "startupProbe": ({"path": "/startupz", "port": "ops"}, 2, 150, 2),
        "readinessProbe": ({"path": "/readyz", "port": "ops"}, 2, 2, 2),
        "livenessProbe": ({"path": "/livez", "port": "ops"}, 10, 6, 2),
    }


def test_grace_period(settings: Settings) -> None:
    """SIGKILL comes later than the slowest orderly stop; the drain outlasts the readiness probe's notice."""
    http, readiness = settings.http, SERVICE["readinessProbe"]
    assert SERVICE_POD["terminationGracePeriodSeconds"] > http.drain_delay_s + http.graceful_timeout_s + 5
    assert http.drain_delay_s > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert "lifecycle" not in SERVICE  # a preStop sleep on top would want a longer period


def test_listens_beyond_the_pod(settings: Settings) -> None:
    """The service listens where the kubelet and the Service can reach it."""
    assert settings.http.host == "0.0.0.0"  # noqa: S104 - in a pod there is nothing else to listen on


def test_cores_follow_the_request(settings: Settings) -> None:
    """Workers and threads use the CPUs that were requested, not all of the node's."""
    assert str(settings.runtime.cores) == SERVICE["resources"]["requests"]["cpu"]
    assert "cpu" not in SERVICE["resources"]["limits"]


def test_store_is_read_only_for_the_service(settings: Settings) -> None:
    """The service mounts the store read-only twice over, at the path it serves; only `publish` may write it."""
    mounts = {entry["name"]: entry for entry in SERVICE["volumeMounts"]}
    volumes = {entry["name"]: entry for entry in SERVICE_POD["volumes"]}
    assert mounts["store"] == {"name": "store", "mountPath": str(settings.store), "readOnly": True}
    assert volumes["store"]["persistentVolumeClaim"] == {"claimName": "plurality-store", "readOnly": True}
    writers = [
        container["name"]
        for _, container in CONTAINERS
        for mount in container["volumeMounts"]
        if mount["name"] == "store" and not mount.get("readOnly")
    ]
    assert writers == ["publish"]
    assert _the("PersistentVolumeClaim", "plurality-store")["spec"]["accessModes"] == ["ReadWriteMany"]


@EACH_POD
def test_pod_security(pod: Manifest) -> None:
    """Every pod meets the `restricted` standard that its namespace enforces; no token, no link variables."""
    spec = pod["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all({"persistentVolumeClaim", "emptyDir"} & volume.keys() for volume in spec["volumes"])
    labels = _the("Namespace")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}


@EACH_CONTAINER
def test_container_security(pod: Manifest, container: Manifest) -> None:
    """No container can gain a privilege or write its root; /tmp is an emptyDir with a limit."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert "sizeLimit" in volumes[paths["/tmp"]]["emptyDir"]  # noqa: S108 - the image's, not ours
    assert set(paths.values()) <= volumes.keys()


@EACH_CONTAINER
def test_resources(pod: Manifest, container: Manifest) -> None:
    """CPU, memory and disk are requested, the latter two limited to that; the emptyDirs fit into the limit."""
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert requests.keys() == {"cpu", "memory", "ephemeral-storage"}
    assert limits == {key: requests[key] for key in ("memory", "ephemeral-storage")}
    room = sum(_bytes(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"] if "emptyDir" in volume)
    assert room < _bytes(limits["ephemeral-storage"])


@EACH_CONTAINER
def test_images(pod: Manifest, container: Manifest) -> None:
    """Images carry the project's version and no registry; `command` stays the image's ENTRYPOINT."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    target = "service" if pod is SERVICE_POD else "trainer"
    assert container["image"] == f"plurality-{target}:{version[1]}"
    assert "command" not in container


def test_labels_and_selectors_agree() -> None:
    """Deployment, Service, budget, policy and spread select the service's pods, and never the trainer's."""
    wanted = {"app.kubernetes.io/name": "plurality", "app.kubernetes.io/component": "service"}
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        _the("Service")["spec"]["selector"],
        _the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        _the("NetworkPolicy", "plurality-clients")["spec"]["podSelector"]["matchLabels"],
        *(entry["labelSelector"]["matchLabels"] for entry in SERVICE_POD["topologySpreadConstraints"]),
    ]
    assert all(selector == wanted for selector in selectors)
    assert PODS["Deployment"]["metadata"]["labels"] == wanted
    assert PODS["Job"]["metadata"]["labels"] == {**wanted, "app.kubernetes.io/component": "trainer"}


def test_names_resolve() -> None:
    """All live in one namespace, and every claim, account and port that is named exists."""
    assert all(entry["metadata"].get("namespace") == "plurality" for entry in DOCUMENTS if entry["kind"] != "Namespace")
    for pod in PODS.values():
        _the("ServiceAccount", pod["spec"]["serviceAccountName"])
        for volume in pod["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                _the("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    names = {port["name"] for port in SERVICE["ports"]}
    ingress = _the("NetworkPolicy", "plurality-clients")["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == names
    assert {port["targetPort"] for port in _the("Service")["spec"]["ports"]} == {"http"}
    annotations = PODS["Deployment"]["metadata"]["annotations"]
    (ops,) = [port["containerPort"] for port in SERVICE["ports"] if port["name"] == "ops"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == (str(ops), "/metrics")


def test_rollout_and_disruption() -> None:
    """A roll-out takes no capacity away, a node's drain one pod at most; replicas prefer to be apart."""
    spec = DEPLOYMENT["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    startup = SERVICE["startupProbe"]
    loading = startup["periodSeconds"] * startup["failureThreshold"]
    assert spec["progressDeadlineSeconds"] > loading + spec["minReadySeconds"]
    budget = _the("PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    keys = [entry["topologyKey"] for entry in SERVICE_POD["topologySpreadConstraints"]]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_network_is_closed_but_for_clients() -> None:
    """Everything is denied both ways; only marked namespaces reach the API, only monitoring the metrics."""
    deny = _the("NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = _the("NetworkPolicy", "plurality-clients")["spec"]
    assert "egress" not in allowed
    assert all(rule["from"] and rule["ports"] for rule in allowed["ingress"])


def test_job_retries_accidents_only() -> None:
    """The Job is bounded in retries, time and leftovers; exit codes that would repeat end it at once."""
    spec = JOB["spec"]
    assert PODS["Job"]["spec"]["restartPolicy"] == "Never"
    assert spec["backoffLimit"] <= 2
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["ttlSecondsAfterFinished"] > 0
    ignore, fail = spec["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (fail["action"], fail["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert fail["onExitCodes"]["values"] == [cli.USAGE, cli.BAD_DATA, cli.REFUSED]


def test_job_hands_the_checkpoint_on() -> None:
    """`publish` starts after `train`, reads where `train` wrote, and writes the store that it mounts."""
    (train,), (publish,) = PODS["Job"]["spec"]["initContainers"], PODS["Job"]["spec"]["containers"]
    output = train["args"][train["args"].index("--output") + 1]
    assert publish["args"][:2] == ["export", output]
    mounts = {
        container["name"]: {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        for container in (train, publish)
    }
    assert mounts["train"]["work"] == mounts["publish"]["work"] == str(Path(output).parent)
    assert publish["args"][publish["args"].index("--store") + 1] == mounts["publish"]["store"]
    assert _written(train)["HF_HUB_OFFLINE"] == _written(publish)["HF_HUB_OFFLINE"] == "1"


def test_base_trains_nothing() -> None:
    """Applying the base starts no Job: that is the component's, which the `train` overlay adds."""
    base = [entry["kind"] for path in (K8S / "base").glob("*.yaml") for entry in documents(path)]
    assert not {"Job", "CronJob"} & set(base)
    (overlay,) = documents(K8S / "overlays/train/kustomization.yaml")
    assert overlay["components"] == ["../../components/trainer-job"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("livenessProbe:", "livenesProbe:", "livenesProbe"),
        ("replicas: 2", 'replicas: "2"', "integer"),
        ("kind: Deployment", "kind: Deploiment", "Deploiment"),
        ("replicas: 2", "replicas: 2\n  replicas: 3", "twice"),
        ("replicas: 2", "replicas: [", "expected"),
    ],
    ids=["typo", "type", "unknown kind", "key twice", "no YAML"],
)
def test_strict_validator_sees(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """Negative controls: the checks that pass our Deployment refuse it with one error put in."""
    text = (K8S / "base/deployment.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "deployment.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert complaint in "\n".join(lint_manifest(path))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  - pdb.yaml\n", "", "there, but not listed: pdb.yaml"),
        ("pdb.yaml", "pbd.yaml", "listed, but not there: pbd.yaml"),
        ("resources:", "resource:", "unknown key: resource"),
        ("kind: Kustomization", "kind: Customization", "unknown key: resources"),
    ],
    ids=["forgotten", "missing", "key", "kind"],
)
def test_kustomization_check_sees(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """Negative controls: a forgotten file, a missing one, a misspelt key and a misspelt kind are named."""
    base = tmp_path / "base"
    shutil.copytree(K8S / "base", base)
    path = base / "kustomization.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert complaint in lint_kustomization(path)


def test_lint_fails_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command fails without any manifest, and for one outside of every kustomization, which it names."""
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    assert image_lint.main(tmp_path) == 1
    shutil.copytree(K8S, tmp_path / "k8s")
    assert image_lint.main(tmp_path) == 0
    (tmp_path / "k8s/stray").mkdir()
    shutil.copy(K8S / "base/pvc.yaml", tmp_path / "k8s/stray/pvc.yaml")
    assert image_lint.main(tmp_path) == 1
    assert "no kustomization.yaml in stray/" in capsys.readouterr().out
