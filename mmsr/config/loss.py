"""Configs of the training loss.

To add a loss, add its config class to the union `LossConfig`, and its function to
`mmsr.training.losses.make`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from mmsr.config.base import Frozen


class SoftmaxConfig(Frozen):
    """Cross-entropy of the softmax over all items."""

    name: Literal["softmax"] = "softmax"


class SampledSoftmaxConfig(Frozen):
    """Softmax over the target and drawn negatives, corrected for how often an item is drawn (logQ;
    Jean et al., 2015)."""

    name: Literal["sampled_softmax"] = "sampled_softmax"
    negatives: int = Field(default=256, ge=1, le=2**20)
    """Items that are drawn to compare a target with."""
    shared: bool = True
    """All targets of a batch share their negatives, which is much cheaper."""
    sampling: Literal["uniform", "popularity"] = "uniform"
    """How negatives are drawn: all items alike, or by how often they are training targets."""


class BceConfig(Frozen):
    """Binary cross-entropy of the target against negatives (SASRec; Kang and McAuley, 2018).

    Negatives may be items of the user's history, which SASRec leaves out.
    """

    name: Literal["bce"] = "bce"
    negatives: int = Field(default=1, ge=1, le=2**20)
    """Items that are drawn to compare a target with."""
    shared: bool = False
    """All targets of a batch share their negatives."""


class GbceConfig(Frozen):
    """Generalised binary cross-entropy, which takes back the overconfidence that few negatives
    cause (gSASRec; Petrov and Macdonald, 2023)."""

    name: Literal["gbce"] = "gbce"
    negatives: int = Field(default=256, ge=1, le=2**20)
    """Items that are drawn to compare a target with."""
    shared: bool = True
    """All targets of a batch share their negatives, which is much cheaper; in the paper they do
    not."""
    calibration: float = Field(default=0.75, ge=0, le=1)
    """The paper's t: 0 is binary cross-entropy, 1 predicts probabilities as if all items had been
    negatives."""


class BprConfig(Frozen):
    """Bayesian personalised ranking: the target should score higher than negatives (Rendle et al.,
    2009)."""

    name: Literal["bpr"] = "bpr"
    negatives: int = Field(default=1, ge=1, le=2**20)
    """Items that are drawn to compare a target with."""
    shared: bool = False
    """All targets of a batch share their negatives."""


class OwnLossConfig(Frozen):
    """The loss that belongs to a model's own definition, for models that have one."""

    name: Literal["own"] = "own"


SampledConfig = SampledSoftmaxConfig | BceConfig | GbceConfig | BprConfig
"""The losses that draw negatives."""
LossConfig = Annotated[SoftmaxConfig | SampledConfig | OwnLossConfig, Field(discriminator="name")]
LOSS_NAMES = tuple(
    variant.model_fields["name"].default for variant in get_args(get_args(LossConfig)[0])
)
