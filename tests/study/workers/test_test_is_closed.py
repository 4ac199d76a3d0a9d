"""No trial reads test: every road that is not malice ends at the rule, and leaves no opening."""

from __future__ import annotations

import json

import pytest

from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.data.openings import openings

pytestmark = pytest.mark.slow

ROADS = '''
"""A trainer that tries one road to the test part in each trial, then trains as if nothing was."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fake_training

from mmsr import paths
from mmsr.data import Dataset
from mmsr.data.held_out import check_test, open_test
from mmsr.data.storage import read_arrow
from mmsr.evaluation import evaluate
from mmsr.training import train as mmsr_train

HERE = Path(__file__).parent


def opened(dataset):
    return open_test(dataset, who="a trainer", why="to choose on test")


def own_trainer(config, dataset):
    yield lambda: opened(dataset)
    yield lambda: check_test(dataset)


def wrapped_trainer(config, dataset):
    def ranks_of_test():
        for result in mmsr_train(config, dataset):
            yield evaluate(result.model, opened(dataset), max_history=50)

    yield lambda: list(ranks_of_test())


def settings(config, dataset):
    from mmsr.study import Study
    from mmsr.study.planning.declaration import Options
    from mmsr.study.planning.make_plan import make_plan

    of_test = Options(settings={"training.select_by": "test/mrr@20"})
    yield lambda: make_plan(Study(dataset="shop"), of_test)
    yield lambda: make_plan(Study(dataset="shop", objective="test/mrr@20"), Options())


def other_home(config, dataset):
    copy = HERE / "copy"
    for part in ("datasets", "held-out"):
        shutil.copytree(paths.home() / part, copy / part)
    os.environ["MMSR_HOME"] = str(copy)
    yield lambda: opened(Dataset.open("shop"))
    yield lambda: read_arrow(copy / "held-out" / "shop" / "test.arrow")


def link(config, dataset):
    link = dataset.path / "features" / "more.arrow"
    link.symlink_to(paths.held_out() / "shop" / "test.arrow")
    yield lambda: read_arrow(link)
    link.unlink()


def relative_path(config, dataset):
    yield lambda: read_arrow(dataset.path / ".." / ".." / "held-out" / "shop" / "test.arrow")
    yield lambda: Dataset(dataset.path / ".." / ".." / "held-out" / "shop")


def python_api(config, dataset):
    from mmsr.finalize.request import make_final_plan
    from mmsr.study.results.held_out import rank_on_test
    from mmsr.study.storage.known_study import look_up

    known = look_up("closed")
    yield lambda: make_final_plan(known)
    yield lambda: rank_on_test(known, [], who="a trainer", why="", record=print)
    yield finalize


def finalize():
    command = [sys.executable, "-m", "mmsr.cli.app", "study", "finalize", "closed"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done
    raise ValueError(done.stderr)


def child(config, dataset):
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            yield lambda: pool.apply(opened, (dataset,))


TRIED = (
    own_trainer,
    wrapped_trainer,
    settings,
    other_home,
    link,
    relative_path,
    python_api,
    child,
)


def train(config, dataset, **given):
    road = TRIED[config.model.width - 20]
    told = []
    for attempt in road(config, dataset):
        try:
            told.append(f"it led to {attempt()}")
        except Exception as error:
            told.append(str(error))
    (HERE / f"{road.__name__}.json").write_text(json.dumps(told))
    yield from fake_training.train(config, dataset, **given)
'''

STUDY = """
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="closed",
    epochs=1,
    space={"model.width": Int(10, 60)},
    enqueue=[{"model.width": width} for width in range(20, 28)],
    only_enqueued=True,
    pruner=None,
    trainer="roads:train",
)

if __name__ == "__main__":
    study.main()
"""

ATTEMPTS = {
    "own_trainer": 2,
    "wrapped_trainer": 1,
    "settings": 2,
    "other_home": 2,
    "link": 1,
    "relative_path": 2,
    "python_api": 3,
    "child": 2,
}


def test_every_road_ends_at_the_rule_and_leaves_no_opening(faked_place, mmsr_here, monkeypatch):
    place = faked_place("closed", STUDY)
    (place.folder / "roads.py").write_text(ROADS)
    out, _ = place.driver.run()
    assert "8 finished" in out
    for road, attempts in ATTEMPTS.items():
        told = json.loads((place.folder / f"{road}.json").read_text())
        assert len(told) == attempts
        for error in told:
            assert "test is closed to trials" in error, road
            assert "mmsr study finalize" in error, road

    def described():
        done = mmsr_here(place.home, "data", "describe", "shop")
        assert done.code == 0, done.err
        return done.out

    monkeypatch.setenv("MMSR_HOME", str(place.home))
    assert "no opening of test on record" in described()
    shop = Dataset.open("shop")
    assert openings(shop) == ()
    open_test(shop, who="tests", why="to see that an opening shows")
    assert "to see that an opening shows" in described()
