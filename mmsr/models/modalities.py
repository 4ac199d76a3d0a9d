"""Which items have which modalities, as links that training and evaluation can take away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Loss = Callable[[str, Tensor], Tensor]
"""Takes a modality and histories `[B, L]`; returns bool `[B, L]` or `[B, 1]`, True where the
histories' items lose the modality."""


class ItemModalities(nn.Module):
    """The links of items to rows of each modality: to its codes, or to feature vectors.

    Parameters
    ----------
    links : int64 `[I, K]` by modality, -1 where an item has none; a model of ids alone gives none.
    """

    def __init__(self, links: Mapping[str, NDArray[np.int64]]) -> None:
        super().__init__()
        self.modalities = tuple(links)
        for name, link in links.items():
            self.register_buffer(_buffer(name), torch.from_numpy(link))
        self._loss: Loss | None = None

    def links(self, modality: str) -> Tensor:
        """Rows of every item in `modality`: int64 `[I, K]`, -1 where it has none."""
        return self.get_buffer(_buffer(modality))

    @contextmanager
    def relinked(self, links: Mapping[str, Tensor]) -> Iterator[None]:
        """Context in which items have other links in some modalities, in histories and in scores.

        Parameters
        ----------
        links : int64 `[I, K]` by modality, -1 where an item has none.
        """
        before = {modality: self.links(modality) for modality in links}
        try:
            self.relink(links)
            yield
        finally:
            self.relink(before)

    def relink(self, links: Mapping[str, Tensor]) -> None:
        """Give items other links in some modalities, permanently.

        Parameters
        ----------
        links : int64 `[I, K]` by modality, -1 where an item has none.
        """
        for modality, link in links.items():
            setattr(self, _buffer(modality), link.to(self.links(modality).device))

    @contextmanager
    def losing(self, loss: Loss) -> Iterator[None]:
        """Context in which items lose modalities at some positions of histories; scores keep them.

        Parameters
        ----------
        loss : says where; it is called once for every modality and batch.
        """
        self._loss = loss
        try:
            yield
        finally:
            self._loss = None

    @property
    def is_losing(self) -> bool:
        """Whether this is inside `losing`."""
        return self._loss is not None

    def lost(self, modality: str, histories_BL: Tensor) -> Tensor | None:
        """Where items of histories lose a modality, inside `losing`.

        Parameters
        ----------
        modality : name of the modality.
        histories_BL : int64 `[B, L]`.

        Returns
        -------
        bool `[B, L]` or `[B, 1]`; None outside `losing`.
        """
        return None if self._loss is None else self._loss(modality, histories_BL)


def _buffer(modality: str) -> str:
    return f"links_{modality.replace('.', '_')}"
