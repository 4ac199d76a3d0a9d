"""How trials share a cluster: fractions of GPUs, and what no node could ever run."""

from __future__ import annotations

import json
import os
import shutil
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow

TOGETHER = 4
TRAINING = f'''
"""Trials that end only when {TOGETHER} of them run at the same time, and say what they see."""

import json
import os
import time
from pathlib import Path

import ray
from fake_training import METRICS, Result


def train(config, dataset, *, device="auto", resume=None, **_):
    place = Path(os.environ["SEEN"])
    seen = {{
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "ids": ray.get_gpu_ids(),
        "device": device,
        "pid": os.getpid(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }}
    (place / f"{{config.model.width}}.draft").write_text(json.dumps(seen))
    (place / f"{{config.model.width}}.draft").rename(place / f"{{config.model.width}}.json")
    deadline = time.monotonic() + 60
    while len(list(place.glob("*.json"))) < {TOGETHER}:
        if time.monotonic() > deadline:
            raise TimeoutError("the others do not run")
        time.sleep(0.05)
    metrics = dict.fromkeys(METRICS, 0.5) | {{"train/loss": 1.0}}
    yield Result(1, metrics, 1, metrics, True)
'''
STUDY = f"""
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="packed",
    trials={TOGETHER},
    epochs=1,
    space={{"model.width": Int(10, 60)}},
    enqueue=[{{"model.width": width}} for width in range(10, 10 + {TOGETHER})],
    pruner=None,
    resources={{"cpu": 1, "gpu": 0.5}},
    trainer="packed_training:train",
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture(scope="module")
def cluster(shop_home, tmp_path_factory, fake_training_code, driver_class, put_store):
    """A node with two GPUs that exist as numbers, and another that has many CPUs and none."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("packing")
    shutil.copytree(shop_home / "datasets", folder / "home" / "datasets")
    put_store(folder / "home" / "mlflow.db")
    (folder / "fake_training.py").write_text(fake_training_code)
    (folder / "packed_training.py").write_text(TRAINING)
    (folder / "packed.py").write_text(STUDY)
    (folder / "seen").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        patch.setenv("SEEN", str(folder / "seen"))
        patch.setenv("PYTHONPATH", str(folder) + os.pathsep + os.environ.get("PYTHONPATH", ""))
        nodes = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 4, "num_gpus": 2, "include_dashboard": False},
        )
        nodes.add_node(num_cpus=8)
        yield SimpleNamespace(
            address=nodes.address,
            folder=folder,
            driver=driver_class(folder / "packed.py", dict(os.environ)),
        )
        nodes.shutdown()


def test_four_trials_at_half_a_gpu_run_at_once_and_see_their_own(cluster):
    cluster.driver.run("--address", cluster.address)
    seen = [json.loads(path.read_text()) for path in (cluster.folder / "seen").glob("*.json")]
    assert len(seen) == TOGETHER
    assert len({one["pid"] for one in seen}) == TOGETHER, "each has a process of its own"
    assert sorted(one["visible"] for one in seen) == ["0", "0", "1", "1"]
    assert all([int(one["visible"])] == one["ids"] for one in seen)
    assert {one["device"] for one in seen} == {"cuda"}


@pytest.mark.parametrize(
    ("wanted", "told", "run"),
    [
        ({"cpu": 1, "gpu": 3}, "1 CPU, 3 GPU", "run"),  # all that is said is on its stderr
        ({"cpu": 12, "gpu": 0}, "12 CPU", "run_here"),  # as many as both nodes have together
        ({"cpu": 8, "gpu": 1}, "8 CPU, 1 GPU", "run_here"),  # each somewhere, but on no node both
        ({"cpu": 1, "memory_gb": 1e6}, "1 CPU, 1e+06 GB", "run_here"),
    ],
)
def test_what_no_node_can_run_is_refused(cluster, wanted, told, run):
    script = cluster.folder / "huge.py"
    text = STUDY.replace('"packed"', '"huge"')
    script.write_text(text.replace(str({"cpu": 1, "gpu": 0.5}).replace("'", '"'), str(wanted)))
    driver = type(cluster.driver)(script, cluster.driver.environment)
    _, err = getattr(driver, run)("--address", cluster.address, code=2)
    assert f"a trial wants {told}, and no node of the cluster has that" in err
    assert "4 CPU, 2 GPU" in err
    assert "8 CPU, 0 GPU" in err
    assert err.count("\n") == 1
    assert not (cluster.folder / "home" / "studies" / "huge" / "study.json").exists()
