"""Blocks of causal self-attention, with layer normalisation in one of three places.

A position attends to itself and to earlier ones. Histories are padded behind their end, so nothing
that is read stands after padding, and no mask of padding is needed.

Legend: B histories, L positions, D width, H heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsr.models.dropout import dropout

EPSILON = 1e-8
"""What layer normalisation adds to the variance."""


class CausalAttention(nn.Module):
    """Multi-head attention of each position to the positions up to it; its heads are joined
    without another projection (Kang and McAuley, 2018, eqs. 2 and 3).

    Parameters
    ----------
    width : D, a multiple of `heads`.
    heads : H.
    dropout : share of the attention weights that are dropped in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, queries_BLD: Tensor, keys_BLD: Tensor, values_BLD: Tensor) -> Tensor:
        """Attend.

        Parameters
        ----------
        queries_BLD, keys_BLD, values_BLD : what queries, keys and values are projected from.

        Returns
        -------
        `[B, L, D]`.
        """
        joined_BHLE = F.scaled_dot_product_attention(
            self._split(self.query(queries_BLD)),
            self._split(self.key(keys_BLD)),
            self._split(self.value(values_BLD)),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=True,
        )
        return joined_BHLE.transpose(1, 2).flatten(2)

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.view(*x_BLD.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between them, at each position alone (eq. 4).

    Parameters
    ----------
    width : D, of input and output.
    inner : width between the two maps.
    dropout : share of the values that are dropped in training, after each map.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        inner = dropout(F.relu(self.inner(x_BLD)), self.dropout, self.training)
        return dropout(self.outer(inner), self.dropout, self.training)


class Block(nn.Module, ABC):
    """Base class of blocks: attention and feed-forward net, each with a residual connection.

    Parameters
    ----------
    width : D, a multiple of `heads`.
    heads : H.
    dropout : on values, see `FeedForward`.
    attention_dropout : on attention weights, see `CausalAttention`.
    """

    leaves_normed: ClassVar[bool]
    """The output is normalised. Where it is not, the last block's output has to be; where it is,
    the first block expects normalised input."""

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.attention = CausalAttention(width, heads, attention_dropout)
        self.feed_forward = FeedForward(width, width, dropout)
        self.attention_norm = nn.LayerNorm(width, EPSILON)
        self.feed_forward_norm = nn.LayerNorm(width, EPSILON)

    @abstractmethod
    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map `[B, L, D]` to `[B, L, D]`."""


class AuthorsBlock(Block):
    """SASRec's block as its authors' code has it.

    Queries are normalised, keys and values are not, and the residual connections add what is
    normalised: y = norm(norm(x) + attention(norm(x), x, x)), then y + feed_forward(y).
    """

    leaves_normed = False

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map `[B, L, D]` to `[B, L, D]`."""
        queries_BLD = self.attention_norm(x_BLD)
        attended_BLD = queries_BLD + self.attention(queries_BLD, x_BLD, x_BLD)
        y_BLD: Tensor = self.feed_forward_norm(attended_BLD)
        fed_BLD: Tensor = self.feed_forward(y_BLD)
        return y_BLD + fed_BLD


class PreNormBlock(Block):
    """Each part reads what is normalised and is added to what is not: x + part(norm(x)), as the
    SASRec paper prints it."""

    leaves_normed = False

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map `[B, L, D]` to `[B, L, D]`."""
        normed_BLD = self.attention_norm(x_BLD)
        x_BLD = x_BLD + self.attention(normed_BLD, normed_BLD, normed_BLD)
        fed_BLD: Tensor = self.feed_forward(self.feed_forward_norm(x_BLD))
        return x_BLD + fed_BLD


class PostNormBlock(Block):
    """Each sum is normalised: norm(x + part(x)), as in the first Transformer and in BERT."""

    leaves_normed = True

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map `[B, L, D]` to `[B, L, D]`."""
        x_BLD = self.attention_norm(x_BLD + self.attention(x_BLD, x_BLD, x_BLD))
        y_BLD: Tensor = self.feed_forward_norm(x_BLD + self.feed_forward(x_BLD))
        return y_BLD


BLOCKS: Mapping[str, type[Block]] = {
    "authors": AuthorsBlock,
    "pre": PreNormBlock,
    "post": PostNormBlock,
}
"""Blocks by where they normalise."""


class CausalTransformer(nn.Module):
    """A stack of blocks, with one more normalisation: of the last output, or, where blocks
    normalise their outputs themselves, of the first input.

    Parameters
    ----------
    norm : a name of `BLOCKS`.
    layers : number of blocks.
    width, heads, dropout, attention_dropout : of each block, see `Block`.
    """

    def __init__(
        self,
        norm: str,
        layers: int,
        width: int,
        heads: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        block, self.dropout = BLOCKS[norm], dropout
        self.blocks = nn.ModuleList(
            block(width, heads, dropout, attention_dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, EPSILON)
        self.norms_input = block.leaves_normed

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Map embedded histories to their vectors, both `[B, L, D]`; dropout of the input is part
        of it."""
        if self.norms_input:
            x_BLD = self.norm(x_BLD)
        x_BLD = dropout(x_BLD, self.dropout, self.training)
        for block in self.blocks:
            x_BLD = block(x_BLD)
        return x_BLD if self.norms_input else self.norm(x_BLD)


@torch.no_grad()
def xavier_(module: nn.Module) -> None:
    """Draw all matrices of a module as Glorot and Bengio (2010) do, uniformly; biases become 0.

    Scales and shifts of layer normalisation are left as they are.

    Parameters
    ----------
    module : changed in place.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.xavier_uniform_(part.weight)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
