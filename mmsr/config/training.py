"""Config of the training: optimisation, choice of the best epoch, numerics; names of metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mmsr.config.base import Frozen
from mmsr.config.graph import ModalityDropoutConfig
from mmsr.config.loss import LossConfig, SoftmaxConfig
from mmsr.errors import unknown

Seen = Literal["kept", "masked", "read_masked"]
"""What ranking does with items that a user has seen."""
TOP_K = (5, 10, 20)
"""Cutoffs of the ranking metrics."""
METRICS = tuple(f"{name}@{k}" for name in ("hr", "mrr", "ndcg") for k in TOP_K)
"""Names of the ranking metrics, e.g. `mrr@20`."""
VALID_METRICS = tuple(f"valid/{name}" for name in METRICS)
"""Their names when measured on validation targets, e.g. `valid/mrr@20`."""


def minimised(metric: str) -> bool:
    """Whether less of `metric` is better, as of costs and times."""
    return metric.startswith(("cost/", "time/"))


class TrainingConfig(Frozen):
    """Optimisation, choice of the best epoch, and numerics."""

    epochs: int = Field(default=100, ge=1)
    """Most epochs; `patience` may end training earlier."""
    patience: int = Field(default=8, ge=1)
    """Training stops after this many epochs in a row without a better validation score."""
    select_by: str = "valid/mrr@20"
    """Validation metric that chooses the best epoch."""
    batch_size: int = Field(default=128, ge=1)
    """Histories in one training step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Step size of the optimizer, AdamW."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW; 0 makes it Adam."""
    gradient_clip: float = Field(default=5.0, gt=0)
    """Largest Euclidean norm of the whole gradient; a longer gradient is scaled down to it."""
    loss: LossConfig = SoftmaxConfig()
    """What training minimises, by `name`."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target distribution that is spread evenly over all items; for `softmax` only."""
    averaging: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the running average of the weights: the share that each step keeps. Evaluation and
    the saved best model use the average. With 0 they use the newest weights, as the paper's authors
    do."""
    modality_dropout: ModalityDropoutConfig = ModalityDropoutConfig()
    """Modalities that are left out at random in training."""
    robust_auc: bool = False
    """Measure `valid/robust_auc` at the end (see `mmsr.evaluation.robustness.robust_auc`)."""
    bf16: bool = False
    """Compute large products in bfloat16 (see `mmsr.models.products`); all else is float32."""
    seen: Seen = "kept"
    """Whether items of a user's history stay in the ranking.

    - `kept`: they do.
    - `masked`: they do not, the whole history.
    - `read_masked`: those that the model reads do not, the latest `graph.max_history`.
    """
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads; None uses all cores. An exact replay needs the same number."""

    @model_validator(mode="after")
    def _metric_exists(self) -> TrainingConfig:
        if self.select_by not in VALID_METRICS:
            raise ValueError(str(unknown("metric", self.select_by, VALID_METRICS)))
        return self

    @model_validator(mode="after")
    def _smoothing_is_defined(self) -> TrainingConfig:
        if self.label_smoothing and not isinstance(self.loss, SoftmaxConfig):
            raise ValueError(
                f"training.label_smoothing={self.label_smoothing:g} is defined for the loss "
                f"softmax only, not for {self.loss.name}: set it to 0; in a space, give it "
                'when={"training.loss.name": "softmax"}'
            )
        return self
