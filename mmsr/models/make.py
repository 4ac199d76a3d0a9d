"""The one place where the model that a config names is made."""

from __future__ import annotations

import torch

from mmsr.config import Config
from mmsr.config.models import model_class
from mmsr.models.base import SequentialRecommender
from mmsr.models.inputs import ModelInputs


def make_model(config: Config, inputs: ModelInputs) -> SequentialRecommender:
    """Make a config's model on the CPU, its weights drawn by the config's seed.

    Parameters
    ----------
    config : what the model is made from.
    inputs : what the model may know of the data set.

    Raises
    ------
    UserError : no such model; or what the model asks of its inputs fails, e.g. `modality_codes`.
    """
    torch.manual_seed(config.seed)
    model: SequentialRecommender = model_class(config.model.name).build(config, inputs)
    return model
