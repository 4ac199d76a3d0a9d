"""`resources="auto"`: what is measured, and how trials are packed by it."""

from __future__ import annotations

import pytest

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.study import Choice, Float, Int, Study
from mmsr.study.driver.opening import resources_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.sizing.packing import pack, settle
from mmsr.study.sizing.probe import Measured, Probe
from mmsr.study.sizing.worst_case import most_demanding
from mmsr.study.storage.folder import StudyRecord
from mmsr.study.workers.resources import GB, Node, Resources, read_resources

GPU = {"device_memory": int(9 * GB), "device_total": int(80 * GB)}


def measured(gb, **more):
    return Measured(train_seconds=1, evaluate_seconds=1, share=1, memory=int(gb * GB), **more)


@pytest.mark.parametrize(
    ("gb", "more", "nodes", "cpu", "gpu", "fits"),
    [
        (1, {}, [Node(8, 0, 64 * GB)], 1, 0, [8]),  # CPUs bind
        (10, {}, [Node(8, 0, 23 * GB)], 4, 0, [2]),  # memory binds: the CPUs are divided
        (10, {}, [Node(8, 0, 45 * GB), Node(4, 0, 8 * GB)], 2, 0, [4, 0]),  # one is too small
        (2, GPU, [Node(16, 1, 128 * GB)], 2, 1 / 8, [8]),  # a GPU holds eight
        (2, GPU, [Node(4, 1, 128 * GB)], 1, 1 / 4, [4]),  # but has four CPUs
        (2, GPU | {"device_memory": int(50 * GB)}, [Node(16, 2, 99 * GB)], 8, 1, [2]),
    ],
)
def test_as_many_as_fit_run_at_once(gb, more, nodes, cpu, gpu, fits):
    resources = pack(measured(gb, **more), nodes)
    assert (resources.cpu, resources.gpu) == (cpu, gpu)
    assert resources.memory >= gb * GB
    assert [resources.fit(node) for node in nodes] == fits
    for node, count in zip(nodes, fits, strict=True):
        assert count * resources.memory <= max(node.memory, resources.memory * (count > 0))


def test_a_gpu_that_an_autoscaler_may_start_is_measured_on(study_home, monkeypatch):
    study = Study(dataset="shop", space={"graph.n_codes": Int(4, 8)}, resources="auto")
    plan = make_plan(study, Options())
    monkeypatch.setattr("mmsr.study.sizing.packing.nodes", lambda: [Node(0)])  # the head alone
    monkeypatch.setattr(
        "mmsr.study.sizing.packing.startable_nodes", lambda: [Node(0), Node(8, 1, 64 * GB)]
    )
    monkeypatch.setattr(Probe, "measure", lambda p, say: measured(2, **(GPU if p.gpu else {})))
    settled = settle(plan, lambda _: None)
    assert (settled.resources.gpu, settled.resources.cpu) == (1 / 8, 1)


def test_what_was_measured_is_not_forgotten_by_a_call_that_measures_nothing(study_home):
    study = Study(dataset="shop", space={"graph.n_codes": Int(4, 8)}, resources="auto")
    plan = make_plan(study, Options())
    assert resources_of(plan) is None
    known = plan.with_resources(Resources(cpu=2, gpu=0.5, memory=3 * GB))
    kept = resources_of(known)
    assert kept == {"cpu": 2, "gpu": 0.5, "memory_gb": 3}
    assert read_resources(kept) == known.resources
    names = ("uid", "dataset", "objective", "storage", "tracking", "command")
    plan.folder.path.mkdir(parents=True)
    plan.folder.write_record(
        StudyRecord(name=plan.name, resources=kept, **dict.fromkeys(names, ""))
    )
    assert resources_of(plan) == kept


def test_a_trial_that_fits_nowhere_is_refused():
    with pytest.raises(UserError, match=r"takes 22 GB .*nodes: 8 CPU, 0 GPU, 16\.0 GB"):
        pack(measured(20), [Node(8, 0, 16 * GB)])


def test_the_most_demanding_settings_are_found(shop_home, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(shop_home))
    space = {
        "model.fusion": Choice("late", "adaptive"),
        "model.aggregator.name": Choice("gcn", "dual_attention", "graphsage"),
        "model.aggregator.order": Choice(
            "he", "gated", when={"model.aggregator.name": "dual_attention"}
        ),
        "model.width": Choice(16, 4, 8),
        "training.batch_size": Int(8, 32),
        "model.dropout": Float(0, 0.5),
        "training.averaging": Choice(0.9, 0.0),
    }
    found = most_demanding(space, Config(dataset="shop"), Dataset.open("shop"))
    assert found.model.aggregator.name == "dual_attention", "it keeps scores of pairs of nodes"
    assert found.model.aggregator.order == "gated", "both passes"
    assert (found.model.width, found.training.batch_size) == (16, 32)


def test_measuring_runs_a_trial_once_and_remembers(study_home, monkeypatch):
    study = Study(dataset="shop", base={"model.width": 8}, space={"graph.n_codes": Int(4, 8)})
    plan = make_plan(study, Options())
    found = Probe(plan, plan.base).measure(print)
    assert found.train_seconds > 0
    assert found.evaluate_seconds > 0
    assert 5e7 < found.memory < 1e10
    assert found.device_memory is None
    monkeypatch.setattr("mmsr.study.sizing.probe._here", None)  # nothing is run any more
    assert Probe(plan, plan.base).measure(print) == found
    assert Probe(plan, plan.base.replace({"model.width": 16})).known() is None


def test_a_trial_that_does_not_run_is_told_in_one_line(study_home, tmp_path, monkeypatch):
    (tmp_path / "broken_training.py").write_text("def train(*_, **__):\n    raise KeyError('x')\n")
    monkeypatch.syspath_prepend(tmp_path)
    space = {"graph.n_codes": Int(4, 8)}
    study = Study(dataset="shop", space=space, trainer="broken_training:train")
    plan = make_plan(study, Options())
    with pytest.raises(UserError, match="of the known settings failed: KeyError: 'x'"):
        Probe(plan, plan.base).measure(print)


@pytest.mark.parametrize(
    ("free", "waits"),
    [
        ({"a": {"CPU": 4.0}, "b": {"GPU": 1.0}}, True),  # each somewhere, but on no node both
        ({"a": {"CPU": 0.5, "GPU": 1.0}}, True),
        ({"a": {"CPU": 4.0}, "b": {"CPU": 1.0, "GPU": 1.0}}, False),
    ],
)
def test_who_has_to_wait_for_a_node_is_told(study_home, monkeypatch, free, waits):
    plan = make_plan(Study(dataset="shop", space={"graph.n_codes": Int(4, 8)}), Options())
    monkeypatch.setattr("ray._private.state.available_resources_per_node", lambda: free)
    monkeypatch.setattr("mmsr.study.sizing.probe.is_connected", lambda: True)
    monkeypatch.setattr(Probe, "_elsewhere", lambda *_: measured(1, **GPU).model_dump())
    said = []
    Probe(plan, plan.base, gpu=1.0).measure(said.append)
    told = "no node has 1 CPU, 1 GPU free now: measuring waits until one has"
    assert said == [told] * waits
