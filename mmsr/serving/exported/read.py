"""Reading an exported model: no data set and no home are needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mmsr.config import Config
from mmsr.models.make import make_model
from mmsr.models.weights import load_weights
from mmsr.serving.catalogue import Catalogue
from mmsr.serving.exported.files import (
    CATALOGUE,
    CONFIG,
    INPUTS,
    RECORD,
    WEIGHTS,
    check_files,
    damaged,
    read_record,
)
from mmsr.serving.exported.inputs import StoredInputs
from mmsr.serving.recommender import Recommender
from mmsr.training.checkpoint import load_into


def holds_model(folder: Path) -> bool:
    """Whether a folder is one of an exported model."""
    return (folder / RECORD).is_file()


def read_model(folder: Path, device: str = "auto") -> Recommender:
    """The recommender of an exported model.

    Parameters
    ----------
    folder : folder of the model.
    device : a torch device name, or `auto`.

    Raises
    ------
    UserError : the folder is damaged, or names a model class that is not installed.
    """
    record = read_record(folder)
    check_files(folder, record, (CONFIG, CATALOGUE, INPUTS, WEIGHTS))
    config = Config.from_stored(_json(folder, CONFIG), source=str(folder / CONFIG))
    try:
        inputs = StoredInputs(load_file(folder / INPUTS))
    except (OSError, SafetensorError) as error:
        raise damaged(folder, f"{INPUTS} cannot be read ({error})") from None
    catalogue = _json(folder, CATALOGUE)
    titles = catalogue.get("title")
    model = make_model(config, inputs)
    load_into(folder / WEIGHTS, lambda weights: load_weights(model, weights))
    return Recommender(
        model,
        config,
        Catalogue(
            pa.array(catalogue["item_id"], pa.string()),
            None if titles is None else pa.array(titles, pa.string()),
            inputs.counts,
        ),
        origin=record.origin,
        facts=record.facts,
        device=device,
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise damaged(folder, f"{name} cannot be read") from None
    if not isinstance(found, dict):
        raise damaged(folder, f"{name} is no object")
    return found
