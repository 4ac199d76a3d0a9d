"""The one place where the model that a config names is made."""

from __future__ import annotations

import torch

from mmsr.config import Config
from mmsr.config.models import model_class
from mmsr.errors import UserError, shown
from mmsr.models.base import Recommender
from mmsr.models.inputs import ModelInputs


def make_model(config: Config, inputs: ModelInputs) -> Recommender:
    """Make a config's model on the CPU, its weights drawn by the config's seed.

    Parameters
    ----------
    config : what the model is made from.
    inputs : what the model may know of the data set.

    Raises
    ------
    UserError : no such model, or a class that is none; or what the model asks of its inputs fails,
        e.g. `modality_codes`.
    """
    name, kind = config.model.name, model_class(config.model.name)
    if not (isinstance(kind, type) and issubclass(kind, Recommender)):
        raise UserError(
            f"model {shown(name)} is no model: derive its class from "
            "SequentialRecommender, CausalRecommender or CollaborativeRecommender of "
            "mmsr.models.base"
        )
    if config.model.has_own_loss and kind.own_loss is Recommender.own_loss:
        raise UserError(
            f"model {shown(name)} has no own_loss, which its settings promise: implement it, or "
            f"remove has_own_loss from {type(config.model).__name__}"
        )
    torch.manual_seed(config.seed)
    model = kind.build(config, inputs)
    if model.tables.modalities and config.model.modalities_as is None:
        raise UserError(
            f"model {shown(name)} has modalities, and its settings do not say so: give "
            f'{type(config.model).__name__} the class attribute modalities_as = "features" (or '
            '"codes")'
        )
    return model
