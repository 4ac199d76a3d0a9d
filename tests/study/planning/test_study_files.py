"""Every file of `studies/` makes a plan; those of the six data sets try known settings first."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from mmsr.data import DemoShop, ImportSettings, prepare, write_tables
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan

FOLDER = Path(__file__).parents[3] / "studies"
FILES = sorted(FOLDER.glob("*.py"))
SIX = ("beauty", "clothing", "kitchen", "phone", "sports", "toys")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A `$MMSR_HOME` with a shop that has as many items as the spaces have codes."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        shop = DemoShop(users=300, items=200)
        prepare("many", write_tables(shop, folder), ImportSettings(core=2))
    return folder / "home"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_study_file_makes_a_plan(file, place, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place))
    monkeypatch.syspath_prepend(FOLDER)  # a study may name a model of its own folder
    study = runpy.run_path(str(file))["study"]
    plan = make_plan(dataclasses.replace(study, dataset="many"), Options())
    assert plan.trials > 0
    assert bool(plan.contenders[0].known) or file.stem not in SIX


@pytest.mark.parametrize("name", SIX)
def test_the_six_data_sets_have_a_study_each_with_a_gpu_where_there_is_one(name):
    study = runpy.run_path(str(FOLDER / f"{name}.py"))["study"]
    assert study.dataset == name
    assert study.resources == "auto"
