"""Models: what every model implements, MMSR, and the models that it is compared with."""

from mmsr.models.base import CausalRecommender, SequentialRecommender
from mmsr.models.features import FeatureTables
from mmsr.models.inputs import ModelInputs
from mmsr.models.modalities import ItemModalities

__all__ = [
    "CausalRecommender",
    "FeatureTables",
    "ItemModalities",
    "ModelInputs",
    "SequentialRecommender",
]
