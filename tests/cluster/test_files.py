"""The cluster files say what Ray and KubeRay accept, and nothing that they would overlook."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = ("cluster.yaml", "gcp.yaml", "onprem.yaml")


def read(name):
    (found,) = read_all(name)
    return found


def read_all(name):
    return list(yaml.safe_load_all((ROOT / "cluster" / name).read_text()))


@pytest.fixture(scope="module")
def job():
    """The study on Kubernetes."""
    return read_all("kuberay.yaml")[0]


@pytest.fixture(scope="module")
def policy():
    """Who may reach the pods of that study."""
    return read_all("kuberay.yaml")[1]


def prepared(name):
    """The file as `ray up` completes and checks it."""
    config = read(name)
    if config["provider"]["type"] == "local":
        config["provider"] |= {"head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2", "10.0.0.3"]}
    return prepare_config(config)


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_it(name):
    validate_config(prepared(name))


def test_ray_would_find_a_mistake():
    config = prepared("cluster.yaml")
    config["idle_timeout_mintues"] = 10
    with pytest.raises(Exception, match="idle_timeout_mintues"):
        validate_config(config)


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_is_mounted_is_there_and_small(name):
    for there, here in read(name)["file_mounts"].items():
        if here.startswith("~"):
            continue  # of the user's own
        assert (ROOT / here).exists(), f"{there} is to hold {here}"
        # Ray reads all of it each time: an environment or a clone's history would take minutes.
        size = sum(path.stat().st_size for path in (ROOT / here).rglob("*") if path.is_file())
        assert size < 20e6


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_installation_has_what_it_needs(name):
    config = read(name)
    (setup,) = config["setup_commands"]
    extras = setup.split()[2].split(",")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(declared["optional-dependencies"])
    assert {"cluster", "postgres"} <= set(extras)
    mounted = set(config["file_mounts"].values())
    assert {"mmsr", "cluster", "pyproject.toml", "constraints.txt", declared["readme"]} <= mounted


@pytest.mark.parametrize("name", CLUSTERS)
def test_nodes_share_a_token(name):
    mounts = read(name)["file_mounts"]
    assert mounts["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("name", ["cluster.yaml", "gcp.yaml"])
def test_gpu_workers_are_cheap_ones_that_come_and_go(name):
    config = read(name)
    head, worker = (config["available_node_types"][kind] for kind in ("head", "gpu"))
    assert config["head_node_type"] == "head"
    assert head["resources"] == {"CPU": 0}
    assert worker["min_workers"] == 0 < worker["max_workers"] <= config["max_workers"]
    assert worker["resources"]["GPU"] == 1
    assert "spot" in str(worker["node_config"]).lower()
    assert "spot" not in str(head["node_config"]).lower()


def test_images_have_the_pinned_ray(job):
    pinned = re.search(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    images = [read(name)["docker"]["image"] for name in ("cluster.yaml", "gcp.yaml")]
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    images += re.findall(r"^FROM (.*)$", dockerfile, re.MULTILINE)
    assert images
    for image in images:
        assert image.startswith(f"rayproject/ray:{pinned}-")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_the_dockerfile_copies_what_is_there():
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    for sources in re.findall(r"^COPY --chown=ray (.*) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert source.partition("/")[0] in allowed


KUBERAY = {
    "spec": {
        "entrypoint": str,
        "backoffLimit": int,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "rayClusterSpec": {
            "rayVersion": str,
            "authOptions": {"mode": str},
            "enableInTreeAutoscaling": bool,
            "autoscalerOptions": {"idleTimeoutSeconds": int, "upscalingMode": str},
            "headGroupSpec": {"serviceType": str, "rayStartParams": dict, "template": dict},
            "workerGroupSpecs": list,
        },
    },
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
}
"""Keys of a RayJob (ray.io/v1) that are used here, by the operator's definition."""


def check(tree, shape, where=""):
    """All keys of the shape and no others, each of its kind."""
    if isinstance(shape, dict):
        assert set(tree) == set(shape), where
        for key in shape:
            check(tree[key], shape[key], f"{where}.{key}")
    else:
        assert type(tree) is shape, where


def test_kuberay_has_the_keys_of_a_job_and_no_others(job):
    check(job, KUBERAY)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    assert spec["authOptions"]["mode"] == "token"
    assert spec["autoscalerOptions"]["upscalingMode"] in ("Default", "Aggressive", "Conservative")
    for group in spec["workerGroupSpecs"]:
        assert set(group) == {
            *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template")
        }
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        for container in group["template"]["spec"]["containers"]:
            names = {setting["name"] for setting in container["env"]}
            assert names == {"MMSR_HOME", "MMSR_STORAGE", "MLFLOW_TRACKING_URI"}
            for setting in container["env"]:
                assert isinstance(setting.get("value", ""), str)
            assert container["resources"]["requests"] == container["resources"]["limits"]


def admitted(policy, port, labels, namespace="ours"):
    """Whether the policy lets a pod with these labels reach a port; "ours" is its own namespace."""
    for rule in policy["spec"]["ingress"]:
        ports = {allowed["port"] for allowed in rule.get("ports", [])}
        for peer in rule["from"]:
            assert set(peer) <= {"podSelector", "namespaceSelector"}
            homes = peer.get("namespaceSelector", {"matchLabels": {NAMESPACE: "ours"}})
            here = homes["matchLabels"] == {NAMESPACE: namespace}
            chosen = peer["podSelector"]["matchLabels"].items() <= labels.items()
            if here and chosen and (not ports or port in ports):
                return True
    return False


NAMESPACE = "kubernetes.io/metadata.name"
OPERATOR = {"app.kubernetes.io/component": "kuberay-operator"}


def test_the_policy_is_about_all_pods_of_the_cluster(job, policy):
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    assert set(policy["spec"]) == {"podSelector", "policyTypes", "ingress"}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    labels = policy["spec"]["podSelector"]["matchLabels"]
    spec = job["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert labels.items() <= group["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("port", [6379, 8265, 10001, 34567])
def test_the_cluster_is_reached_by_its_own_pods_and_its_dashboard_by_two_more(job, policy, port):
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert admitted(policy, port, head)
    submitter = {"job-name": job["metadata"]["name"]}
    assert admitted(policy, port, submitter) == (port == 8265)
    assert admitted(policy, port, OPERATOR, "OPERATOR_NAMESPACE") == (port == 8265)
    for strange in ({}, {"app": "notebook"}, {"job-name": "other"}, OPERATOR):
        assert not admitted(policy, port, strange)
    assert not admitted(policy, port, head, "theirs")
    assert not admitted(policy, port, submitter, "theirs")


@pytest.fixture
def node(tmp_path):
    """Runs `cluster/setup.sh` as on a node that has its environment already."""
    home = tmp_path / "home"
    (home / "mmsr-env").mkdir(parents=True)
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    digest = subprocess.run(["sha256sum"], input=b"".join(parts), capture_output=True, check=True)
    (home / "mmsr-env" / "requirements").write_text(digest.stdout.decode().split()[0] + "\n")

    def run(*settings):
        command = ["bash", str(ROOT / "cluster" / "setup.sh"), "cluster,postgres", *settings]
        environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        ask = "env; cat $HOME/.bashrc | wc -l"
        shell = ["bash", "-c", f". $HOME/.bashrc; {ask}"]
        return subprocess.run(
            shell, env=environment, check=True, capture_output=True, text=True
        ).stdout.splitlines()

    return run


def test_every_shell_of_a_node_has_the_settings(node):
    url = "postgresql://user:pa$$'w rd@host/optuna"
    told = node("MMSR_HOME=s3://bucket/mmsr", f"MMSR_STORAGE={url}")
    assert "MMSR_HOME=s3://bucket/mmsr" in told
    assert f"MMSR_STORAGE={url}" in told
    assert f"PYTHONPATH={ROOT}" in told
    assert "RAY_ADDRESS=auto" in told
    assert "RAY_AUTH_MODE=token" in told


def test_setting_up_again_takes_the_new_settings_and_adds_nothing(node, tmp_path):
    node("MMSR_HOME=/a", "MMSR_STORAGE=sqlite:////b")
    *told, lines = node("MMSR_HOME=/c")
    assert "MMSR_HOME=/c" in told
    assert not any(line.startswith("MMSR_STORAGE") for line in told)
    assert lines == "1"
    assert (tmp_path / "home" / ".mmsr-profile").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "script", ["cluster/setup.sh", "mlflow/serve.sh", "tests/cluster/onprem.sh"]
)
def test_scripts_are_sound_and_can_be_run(script):
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
    assert os.access(ROOT / script, os.X_OK)
