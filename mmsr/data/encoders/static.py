"""Texts by static embeddings: a vector for each word, averaged; fast without a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmsr.data.encoders.base import (
    EncoderOptions,
    Modality,
    from_extra,
    loading,
    versions,
    weights_version,
)

_DEFAULT = "minishlab/potion-base-8M"


class Model2Vec:
    """Embeddings of model2vec.

    Parameters
    ----------
    options : `argument` is a folder, or the model's name on the Hugging Face hub; without one,
        minishlab/potion-base-8M.

    Raises
    ------
    UserError : the extra `text` is not installed, or the model cannot be reached.
    """

    modality: Modality = "text"
    batch_size: int | None = 1024

    def __init__(self, options: EncoderOptions) -> None:
        name = options.argument or _DEFAULT
        with from_extra("text", "model2vec"):
            from model2vec import StaticModel
        with loading(
            f"model2vec:{name}",
            "a folder, the local cache and the Hugging Face hub",
            "give model2vec:FOLDER, set HF_ENDPOINT or HF_HOME, or use minilm",
        ):
            self._model = StaticModel.from_pretrained(name, force_download=False)
            self.version = f"{weights_version(name)}, {versions('model2vec')}"

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        """Vectors as the model normalises them; zeros where it knows none of the words."""
        return np.asarray(
            self._model.encode(list(batch), use_multiprocessing=False), dtype=np.float32
        )
