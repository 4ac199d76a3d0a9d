"""A new study file: commented, ready to run, with alternatives to uncomment."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from mmsr.config import GraphConfig
from mmsr.data import Dataset
from mmsr.errors import UserError, reason_of
from mmsr.graph.checks import fitted_rows
from mmsr.study.planning.site import check_dataset
from mmsr.study.storage.folder import StudyFolder

_MOST_CODES = 50
_TEMPLATE = '''\
"""Study NAME: a search for the best config on the data set DATASET.

Check it and see what would run:
    python NAME.py --dry-run

Run it, or resume it:
    python NAME.py

Options win over this file:
    python NAME.py --help
"""

from mmsr.study import Choice, Float, Gp, Halving, Int, Median, Random, Study, Tpe  # noqa: F401

# A comment such as `# hours=8.0,` is an alternative: remove its `# ` to use it.
study = Study(
    dataset="DATASET",
    name="NAME",
    # The validation metric to maximise: hr, mrr or ndcg at 5, 10 or 20. It also chooses the best
    # epoch of each trial. A list weighs several: ["valid/mrr@20", "cost/parameters"].
    objective="valid/mrr@20",
    # Trials in all, those that were stopped early or failed included.
    trials=20,
    # The most epochs of a trial. It ends earlier when its metric no longer improves.
    epochs=30,
    # trial_hours=1.0,  # a trial that trains longer has failed
    # Budgets: the study ends when its trials or one of these is used up.
    # hours=8.0,  # wall clock
    # cpu_hours=16.0,  # CPUs that trials get, times their time
    # What varies, by config key: Int(low, high), Float(low, high) or a Choice of any values.
    # `mmsr model list` names what a model can be made of.
    space={
        "graph.n_codes": Int(10, MOST, step=10),
        "graph.links_per_item": Int(1, 3),
        "model.fusion": Choice("adaptive", "early", "late"),
        "model.width": Choice(64, 128),
        "model.dropout": Float(0.0, 0.6, step=0.1),
        "training.learning_rate": Float(5e-4, 5e-3, log=True),
        # "model.aggregator.name": Choice("dual_attention", "hgat", "graphsage", "gcn"),
        # "model.aggregator.order": Choice("gated", "ni_hohe", when={"model.fusion": "adaptive"}),
        # "model.layers": Int(1, 2),
        # "model.readout": Choice("last", "mean", "attention"),
        # "model.scoring": Choice("item", "item_and_codes"),
        # "model.input_dropout": Float(0.0, 0.5, step=0.1),
        # "training.batch_size": Choice(64, 128, 256),
        # "training.averaging": Choice(0.0, 0.999),
    },
    # Config values that do not vary and are not the defaults.
    # base={"training.patience": 5},
    # Settings to try first. The default: known good ones, as far as the space has them.
    # enqueue=[{"graph.n_codes": 10, "model.fusion": "early"}],
    # What each trial gets. Four trials share a GPU with {"cpu": 1, "gpu": 0.25}. With "auto", one
    # trial is measured, and as many run at once as fit.
    resources={"cpu": 1, "gpu": 0},
    # How settings are proposed. The default is Tpe().
    # sampler=Tpe(startup_trials=12),  # from densities of good and bad settings, 12 at random first
    # sampler=Gp(),  # by a Gaussian process; for one objective and a space without when=
    # sampler=Random(),  # at random
    # How weak trials are stopped early. The default is Halving().
    # pruner=Halving(first_rung=2, factor=3),  # at epochs 2, 6, 18: all but the best third
    # pruner=Median(),  # those below the median of finished trials
    # pruner=None,  # none
)

if __name__ == "__main__":
    study.main()
'''


def study_file(name: str, dataset: str, most_codes: int = _MOST_CODES) -> str:
    """Text of a study file.

    Parameters
    ----------
    name : name of the study and, without `.py`, of the file.
    dataset : name of the data set.
    most_codes : the most codes that the data allow.
    """
    words = {
        "NAME": name,
        "DATASET": dataset,
        "MOST": str(max(10, min(_MOST_CODES, most_codes) // 10 * 10)),
    }
    return re.sub("|".join(rf"\b{word}\b" for word in words), lambda m: words[m[0]], _TEMPLATE)


def write_study_file(name: str, dataset: str) -> Path:
    """Write a study file into the current folder.

    Parameters
    ----------
    name : name of the study and, without `.py`, of the file.
    dataset : name of a prepared data set.

    Returns
    -------
    The file.

    Raises
    ------
    UserError : a bad name, an unknown data set, a file or study of this name, or a folder that
        cannot be written.
    """
    folder, path = StudyFolder(name), Path(f"{name}.py")
    taken = UserError(f"{path} exists: remove it, or give another name")
    if os.path.lexists(path):
        raise taken
    _check_module(name)
    if folder.read_record() is not None:
        raise UserError(f"study {name!r} exists, see `mmsr study status {name}`: give another name")
    check_dataset(dataset)
    text = study_file(name, dataset, _most_codes(Dataset.open(dataset)))
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise taken from None
    except OSError as error:
        raise UserError(
            f"cannot write {path} into the current folder: {reason_of(error)}; change to a folder "
            "that you can write to"
        ) from None
    try:
        with file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _most_codes(dataset: Dataset) -> int:
    """The most codes that every modality can have, by the default config."""
    graph = GraphConfig()
    fitted = [int(fitted_rows(dataset, name, graph).sum()) for name in dataset.modalities]
    return min(fitted, default=_MOST_CODES)


def _check_module(name: str) -> None:
    """Check that a file of this name does not stand in for a module that others import."""
    if name.endswith(".py"):
        raise UserError(f"bad study name {name!r}: leave out .py, the file gets it")
    if name.isidentifier() and find_spec(name) is not None:
        raise UserError(
            f"bad study name {name!r}: {name}.py would hide the Python module {name!r} from all "
            "that runs in this folder; give another name"
        )
