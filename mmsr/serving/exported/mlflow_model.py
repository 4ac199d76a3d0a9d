"""An exported model in the form of an MLflow model, with signature, example and requirements."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema
from packaging.version import Version

from mmsr.serving.exported import pyfunc
from mmsr.serving.exported.files import read_record
from mmsr.serving.exported.pyfunc import HISTORY, ITEMS, PARAMETERS, SCORES
from mmsr.serving.recommender import Recommender
from mmsr.version import __version__

DATA = "model"
"""Name of the exported model's folder, below MLflow's `data`."""
_PACKAGES = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "torch")
_KINDS = {int: DataType.long, str: DataType.string}


def save_mlflow_model(exported: Path, recommender: Recommender, target: Path) -> None:
    """Write an exported model as an MLflow model.

    Parameters
    ----------
    exported : folder of the exported model, with the name `DATA`.
    recommender : the model; it gives the example of a history.
    target : the folder to write; it must not exist.

    Raises
    ------
    MlflowException : it cannot be written.
    OSError : it cannot be written.
    """
    record = read_record(exported)
    mlflow.pyfunc.save_model(
        str(target),
        loader_module=pyfunc.__name__,
        data_path=str(exported),
        signature=signature(recommender),
        input_example=(example(recommender), {"top": 3}),
        pip_requirements=requirements(),
        metadata={"mmsr.digest": record.digest, "mmsr.origin": record.origin},
    )
    for cached in target.rglob("__pycache__"):
        shutil.rmtree(cached, ignore_errors=True)


def signature(recommender: Recommender) -> ModelSignature:
    """What goes in and out of an exported model; `seen` is by default as its config has it."""
    parameters = {**PARAMETERS, "seen": recommender.config.training.seen}
    return ModelSignature(
        inputs=Schema([ColSpec(Array(DataType.string), HISTORY)]),
        outputs=Schema(
            [ColSpec(Array(DataType.string), ITEMS), ColSpec(Array(DataType.double), SCORES)]
        ),
        params=ParamSchema(
            [ParamSpec(name, _KINDS[type(value)], value) for name, value in parameters.items()]
        ),
    )


def example(recommender: Recommender) -> pd.DataFrame:
    """A history of the catalogue's first three items."""
    ids = recommender.catalogue.item_ids[: min(3, len(recommender.catalogue))].to_pylist()
    return pd.DataFrame({HISTORY: [ids]})


def requirements() -> list[str]:
    """The packages that the model needs, with the versions that wrote it."""
    versions = {name: Version(importlib.metadata.version(name)).public for name in _PACKAGES}
    return [f"mmsr=={__version__}", *(f"{name}=={version}" for name, version in versions.items())]
