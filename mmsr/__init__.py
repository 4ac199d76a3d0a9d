"""Hyperparameter studies for multi-modal sequential recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsr.version import __version__

if TYPE_CHECKING:
    from mmsr.serving.recommender import Recommender

__all__ = ["__version__", "load"]


def load(source: str | Path, **options: Any) -> Recommender:
    """Load a trained model, to recommend with.

    Parameters
    ----------
    source : name of a study, folder of a checkpoint, or folder of an exported model.
    options : as for `mmsr.serving.sources.load`.
    """
    from mmsr.serving import sources

    return sources.load(source, **options)
