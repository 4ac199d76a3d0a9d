"""Modality dropout: a training step in which some modalities are missing, at random.

The draws come from torch's own generator, which every epoch seeds from the config's seed and the
epoch's number, so a resumed run draws the same as an uninterrupted one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mmsr.config import ModalityDropoutConfig
from mmsr.models.modalities import ItemModalities


def modality_dropout(
    tables: ItemModalities, config: ModalityDropoutConfig
) -> AbstractContextManager[None]:
    """Context in which a model trains one step with some modalities missing at random.

    By item, an item loses a modality in all histories of the batch and in its own score, as if it
    really lacked it. By history, all items of a history lose the modality together; the scores,
    which all histories of the batch share, keep it. Nothing is drawn at a rate of 0.

    Parameters
    ----------
    tables : the model's tables; their links are restored at the end.
    config : the rate, and whether modalities go missing by item or by history.
    """
    if config.rate == 0 or not tables.modalities:
        return nullcontext()
    if config.per == "item":
        return tables.relinked(
            {m: _thinned(tables.links(m), config.rate) for m in tables.modalities}
        )

    def loss(modality: str, histories_BL: Tensor) -> Tensor:
        return torch.rand(len(histories_BL), 1, device=histories_BL.device) < config.rate

    return tables.losing(loss)


def _thinned(links_IK: Tensor, rate: float) -> Tensor:
    lost_I1 = torch.rand(len(links_IK), 1, device=links_IK.device) < rate
    return links_IK.masked_fill(lost_I1, -1)
