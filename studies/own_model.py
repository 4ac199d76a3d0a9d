"""A model of your own in a study: the next item depends on the latest ones, less on older ones."""

import torch
from pydantic import Field
from torch import nn

from mmsr.config import ModelConfig
from mmsr.models.base import CausalRecommender
from mmsr.models.modalities import ItemModalities
from mmsr.study import Choice, Float, Study


class MarkovConfig(ModelConfig):
    name: str = "own_model:Markov"
    width: int = Field(default=64, ge=1)
    decay: float = Field(default=0.5, ge=0, lt=1)

    @classmethod
    def space(cls):
        return {"model.width": Choice(32, 64, 128), "model.decay": Float(0.0, 0.9)}


class Markov(CausalRecommender):
    Settings = MarkovConfig

    def __init__(self, settings, n_items):
        super().__init__()
        self.tables, self.n_items, self.decay = ItemModalities({}), n_items, settings.decay
        self.read = nn.Embedding(n_items, settings.width)
        self.scored = nn.Embedding(n_items, settings.width)
        for table in (self.read, self.scored):
            nn.init.normal_(table.weight, std=0.1)

    @classmethod
    def build(cls, config, inputs):
        return cls(config.model, inputs.n_items)

    def sequence_vectors(self, histories_BL):
        steps_L = torch.arange(histories_BL.shape[1], device=histories_BL.device)
        ages_LL = steps_L[:, None] - steps_L
        weights_LL = torch.where(ages_LL >= 0, self.decay ** ages_LL.clamp(min=0), 0.0)
        return weights_LL @ self.read(histories_BL.clamp(min=0))

    def item_vectors(self, items=None):
        return self.scored.weight if items is None else self.scored(items)


study = Study(dataset="demo", name="own-model", base={"model.name": "own_model:Markov"}, trials=6)

if __name__ == "__main__":
    study.main()
