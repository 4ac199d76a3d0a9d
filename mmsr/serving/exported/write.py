"""Exporting a model: a folder that recommends without the data set or the home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_tensors

from mmsr.data import Dataset
from mmsr.data.exporters.folder import folder_to_make, replacing
from mmsr.errors import UserError, shown
from mmsr.models.inputs import DatasetInputs
from mmsr.models.make import make_model
from mmsr.serving.exported.card import card
from mmsr.serving.exported.files import (
    CARD,
    CATALOGUE,
    CONFIG,
    INPUTS,
    ONNX,
    RECORD,
    WEIGHTS,
    FileHash,
    ModelRecord,
)
from mmsr.serving.exported.inputs import RecordingInputs
from mmsr.serving.exported.read import holds_model, read_model
from mmsr.serving.histories import FlatHistories
from mmsr.serving.recommender import Recommender
from mmsr.version import __version__

_SAMPLES, _SAMPLE_SEED = 64, 0
"""Histories by which a written folder is compared with the model that it was written from."""


def check_output(output: str, *, force: bool) -> Path:
    """Check that a model can be exported to a folder.

    Parameters
    ----------
    output : the folder, as the user named it.
    force : whether an exported model there may be replaced.

    Returns
    -------
    The folder, links followed.

    Raises
    ------
    UserError : something is there that is no exported model, or that may not be replaced.
    """
    target, found = folder_to_make(output)
    if not found:
        return target
    if not holds_model(target):
        raise UserError(f"{output} is there and is no exported model: name another folder")
    if not force:
        raise UserError(
            f"{output} is an exported model: replace it with --force, or name another folder"
        )
    written = {RECORD, CARD, CATALOGUE, CONFIG, INPUTS, ONNX, WEIGHTS}
    if others := sorted(found - written):
        raise UserError(
            f"{output} holds {shown(others[0])}, which no export wrote: move it away, or name "
            "another folder"
        )
    return target


def export_model(recommender: Recommender, target: Path, *, with_onnx: bool = False) -> ModelRecord:
    """Write the folder of a model; the same model gives the same bytes.

    What is written is read again and compared with the model, before it takes its place.

    Parameters
    ----------
    recommender : the model, from a study or a checkpoint.
    target : the folder; what is there is replaced.
    with_onnx : also write the network as ONNX.

    Returns
    -------
    The folder's record.

    Raises
    ------
    UserError : the model reads no histories, cannot be written, cannot be ONNX, or gives other
        scores when it is read again.
    """
    recommender.check_reads_histories()
    facts, config = recommender.facts, recommender.config
    if facts is None or recommender.users is None:
        raise UserError(
            f"the {recommender.origin} comes from an exported model: name its study or checkpoint"
        )
    dataset = Dataset.open(facts.dataset)
    inputs = RecordingInputs(DatasetInputs(dataset, config.graph, facts.part))
    make_model(config, inputs)
    with replacing(target) as folder:
        _write_json(folder / CONFIG, config.to_dict())
        _write_json(folder / CATALOGUE, _catalogue(recommender))
        (folder / INPUTS).write_bytes(save(inputs.arrays()))  # its own files are only the owner's
        (folder / WEIGHTS).write_bytes(save_tensors(_weights(recommender)))
        if with_onnx:
            from mmsr.serving.exported.onnx import write_onnx

            write_onnx(recommender, sample(recommender), folder / ONNX)
        text = card(recommender.origin, facts, config, with_onnx=with_onnx)
        (folder / CARD).write_text(text, encoding="utf-8")
        names = (CONFIG, CATALOGUE, INPUTS, WEIGHTS, *([ONNX] if with_onnx else []))
        record = ModelRecord(
            mmsr=__version__,
            origin=recommender.origin,
            facts=facts,
            files={name: FileHash.of(folder / name) for name in names},
        )
        _write_json(folder / RECORD, record.model_dump(mode="json"))
        _check_same(recommender, read_model(folder, str(recommender.device)))
    return record


def sample(recommender: Recommender) -> FlatHistories:
    """Some real histories, of the shortest length to the longest.

    Parameters
    ----------
    recommender : knows the histories of its data set's users.
    """
    users = recommender.known_users().histories
    lengths = users.lengths()
    rows = np.flatnonzero(lengths)
    by_length = rows[np.argsort(lengths[rows], kind="stable")]
    places = np.unique(np.linspace(0, len(by_length) - 1, _SAMPLES).astype(np.int64))
    return users.select(by_length[places])


def _check_same(ours: Recommender, read: Recommender) -> None:
    """Raise UserError if the folder gives other vectors than the model that it was written from."""
    histories = sample(ours)
    pairs = (
        (ours.item_vectors(), read.item_vectors()),
        (ours.ranker.vectors(histories), read.ranker.vectors(histories)),
    )
    if not all(np.array_equal(one, other) for one, other in pairs):
        raise UserError(
            f"model {shown(ours.config.model.name)} cannot be exported: read again, it gives other "
            "scores. Its parameters and persistent buffers must hold all that it learns from who "
            "interacted with what"
        )


def _catalogue(recommender: Recommender) -> dict[str, list[str | None]]:
    """Item ids, and titles where there are any, in the order of the items' indices."""
    catalogue = recommender.catalogue
    found: dict[str, list[str | None]] = {"item_id": catalogue.item_ids.to_pylist()}
    if catalogue.titles is not None:
        found["title"] = catalogue.titles.to_pylist()
    return found


def _weights(recommender: Recommender) -> dict[str, torch.Tensor]:
    state = recommender.model.state_dict()
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
