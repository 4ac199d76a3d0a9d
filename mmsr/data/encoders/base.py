"""What an encoder is, and what those that run a network share."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mmsr.errors import UserError, shown

Modality = Literal["text", "image"]
_HUB_FILES = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""Files of a model on the hub, at least one of which is in the cache once it was loaded."""


@dataclass(frozen=True)
class EncoderOptions:
    """What an encoder is made with.

    Attributes
    ----------
    argument : what follows the encoder's name and a colon, e.g. the name of a model; may be empty.
    device : `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; see `torch_device`.
    width : most dimensions of vectors, for encoders that choose them (`tfidf`).
    seed : seed of encoders that draw random numbers (`tfidf`).
    """

    argument: str = ""
    device: str = "auto"
    width: int = 128
    seed: int = 2023


class Encoder(Protocol):
    """Turns texts or images into vectors; made by calling its class with `EncoderOptions`.

    Attributes
    ----------
    modality : `text` for texts (`str`), `image` for images (`PIL.Image.Image`, RGB, each side at
        most 1,024 pixels).
    version : anything besides the name that decides the vectors, e.g. versions of weights. Vectors
        are cached under it.
    batch_size : most inputs in a call; None for all in one. Vectors may depend on all inputs then,
        so none is cached.
    """

    modality: Modality
    version: str
    batch_size: int | None

    def encode(self, batch: Sequence[Any]) -> NDArray[np.float32]:
        """Vectors of a batch, float32 `[len(batch), width]`.

        A row of zeros, or one that is not finite, says that there is no vector for an input.

        Parameters
        ----------
        batch : texts or images, in any number and order.

        Raises
        ------
        UserError : they cannot be encoded, e.g. for lack of memory.
        """
        ...


def torch_device(name: str) -> str:
    """The torch device that an option names.

    Parameters
    ----------
    name : a device of torch, or `auto`: a CUDA or Apple GPU where there is one, else the CPU.

    Raises
    ------
    UserError : there is no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--device {shown(name)} cannot be used: {reason}; give auto, cpu, cuda, cuda:N or mps"
        ) from None
    return name


@contextmanager
def inference() -> Iterator[None]:
    """Context of a network's pass: without gradients, in one thread on a CPU.

    Sums of several threads differ in their last bits with the number of threads.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def from_extra(extra: str, name: str) -> Iterator[None]:
    """Context of imports that an extra of mmsr brings.

    Parameters
    ----------
    extra : name of the extra, e.g. ``"text"``.
    name : the encoder that needs them, for the error.

    Raises
    ------
    UserError : one of them is not installed, or cannot be imported.
    """
    try:
        yield
    except (ImportError, RuntimeError, OSError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name
        reason = f"{missing} is not installed" if missing else f"{type(error).__name__}: {error}"
        raise UserError(
            f"encoder {shown(name)} needs more packages: pip install 'mmsr[{extra}]' ({reason})"
        ) from None


@contextmanager
def loading(name: str, tried: str, remedy: str) -> Iterator[None]:
    """Context in which weights are loaded.

    Parameters
    ----------
    name : the encoder, for the error.
    tried : where the weights are looked for.
    remedy : what to do where they are not there.

    Raises
    ------
    UserError : they cannot be loaded, for whatever reason.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a hub's client, and each library, has errors of its own
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:60]
        raise UserError(
            f"weights of {shown(name)} cannot be loaded: tried {tried}; {remedy} ({first})"
        ) from error


def versions(*packages: str) -> str:
    """Installed versions of packages, e.g. ``"timm 1.0.31"``."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def weights_version(name: str, file: str = "") -> str:
    """What tells the weights of a model apart from others under the same name.

    Parameters
    ----------
    name : a folder, or a model's name on the Hugging Face hub, perhaps with `@` and a revision.
    file : file of the weights on the hub, if it is not one of the usual; one that ends in
        `.safetensors` may be in its place.

    Returns
    -------
    For a folder, a hash of its files; for a model of the hub that was loaded, its commit.
    """
    folder = Path(name)
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            digest.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
        return f"files {digest.hexdigest()[:12]}"
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    own = (file, str(Path(file).with_suffix(".safetensors"))) if file else ()
    for one in (*own, *_HUB_FILES):
        found = try_to_load_from_cache(repository, one, revision=revision or None)
        if isinstance(found, str):
            return f"commit {Path(found).parent.name[:12]}"
    return name


def quiet_transformers() -> None:
    """Keep transformers from drawing bars of its own and from logging what is no trouble."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)


def require_argument(options: EncoderOptions, name: str, example: str) -> str:
    """The argument of an encoder that needs one.

    Parameters
    ----------
    options : hold the argument.
    name : name of the encoder.
    example : an argument, for the error.

    Raises
    ------
    UserError : there is none.
    """
    if not options.argument:
        raise UserError(f"encoder {name!r} needs the name of a model, e.g. {name}:{example}")
    return options.argument


def refuse_argument(options: EncoderOptions, name: str) -> None:
    """Check that an encoder without arguments got none.

    Raises
    ------
    UserError : it got one.
    """
    if options.argument:
        raise UserError(f"encoder {name!r} takes no argument (given: {shown(options.argument)})")
