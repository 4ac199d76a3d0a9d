"""Encoders by name. To add one: a class as in `mmsr.data.encoders.base`, and a line here.

An encoder outside of mmsr needs no line: an entry point of the group `mmsr.encoders` names it, or
its import path does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsr.config.plugins import load, plugins
from mmsr.data.encoders.base import Encoder, EncoderOptions, Modality
from mmsr.errors import UserError, shown, unknown

ENCODERS: Mapping[str, str] = {
    "tfidf": "mmsr.data.encoders.text:TfIdf",
    "minilm": "mmsr.data.encoders.sentences:MiniLM",
    "model2vec": "mmsr.data.encoders.static:Model2Vec",
    "sentence-transformers": "mmsr.data.encoders.sentences:SentenceTransformers",
    "huggingface": "mmsr.data.encoders.sentences:HuggingFace",
    "efficientnet-lite0": "mmsr.data.encoders.efficientnet:EfficientNetLite0",
    "torchvision": "mmsr.data.encoders.vision:Torchvision",
    "timm": "mmsr.data.encoders.vision:Timm",
    "open-clip": "mmsr.data.encoders.vision:OpenClip",
}
"""Import paths of the encoders' classes, by name."""
GROUP = "mmsr.encoders"
"""Group of entry points that name encoders of other packages."""


def encoder_class(name: str, modality: Modality) -> tuple[Any, str]:
    """The class of an encoder, and the argument in its name.

    Parameters
    ----------
    name : name of an encoder, followed by a colon and its argument if it takes one; or an import
        path such as `shop.encoders:Words`.
    modality : what it has to encode.

    Raises
    ------
    UserError : there is none of this name, it cannot be imported, or it encodes something else.
    """
    known = {**plugins(GROUP), **ENCODERS}
    short, _, argument = name.partition(":")
    kind = f"{modality} encoder"
    if short in known:
        found = load(kind, name, known[short])
    elif argument:
        found, argument = load(kind, name, name), ""
    else:
        hint = "or give an import path such as shop.encoders:Words"
        raise unknown(kind, name, known, hint=hint)
    encodes = getattr(found, "modality", None)
    if encodes != modality:
        what = f"its modality is {shown(encodes)}"
        raise UserError(f"{shown(name)} cannot be a {kind}: {what}, which must be {modality!r}")
    return found, argument


def make_encoder(name: str, modality: Modality, options: EncoderOptions) -> Encoder:
    """Make an encoder, with its weights loaded.

    Parameters
    ----------
    name, modality : see `encoder_class`.
    options : device and the like; the argument is taken from the name.

    Raises
    ------
    UserError : see `encoder_class`; or packages or weights are missing.
    """
    found, argument = encoder_class(name, modality)
    try:
        encoder: Encoder = found(
            EncoderOptions(argument, options.device, options.width, options.seed)
        )
        size = encoder.batch_size
        sized = size is None or (isinstance(size, int) and size > 0)
        stated = isinstance(encoder.version, str) and sized
    except UserError:
        raise
    except Exception as error:  # whatever the class of a user raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{modality} encoder {shown(name)} cannot be made: {reason}") from error
    if not stated:
        raise UserError(
            f"{modality} encoder {shown(name)}: version must be a text, and batch_size a whole "
            "number above 0 or None"
        )
    return encoder
