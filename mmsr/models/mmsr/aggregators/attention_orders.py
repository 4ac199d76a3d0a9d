"""How the two attention passes are combined (eqs. 15-17): the paper's fusion and its ablations.

Shapes: B batch, Q output nodes, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from mmsr.models.mmsr.aggregators.attention_passes import Blocks, Passes


class Order(nn.Module, ABC):
    """How the two passes are combined into the layer's output."""

    homogeneous = True
    """Whether there is a homogeneous pass."""

    def __init__(self, width: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        """Vectors `[B, Q, D]` of the output nodes of `p`, from the projections of all nodes."""

    def averaging(self) -> AbstractContextManager[None]:
        """Context in which `forward` is linear in the passes' results, which it averages."""
        return nullcontext()


class Homogeneous(Order):
    """`ho`: homogeneous attention only, within node types."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.within(value, value)


class Heterogeneous(Order):
    """`he`: heterogeneous attention only, across node types."""

    homogeneous = False

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.across(p.near(query), p.near(key), p.near(value))


class Synchronous(Order):
    """Both passes side by side, joined by a linear map (eq. 15)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        ho = p.within(value, value)
        he = p.across(p.near(query), p.near(key), p.near(value))
        joined: Tensor = self.join(torch.cat((ho, he), dim=2))
        return joined

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """Context in which both passes count half, in place of the map that joins them."""

        def mean(module: nn.Module, both: tuple[Tensor], joined: Tensor) -> Tensor:
            ho, he = both[0].chunk(2, dim=2)
            return (ho + he) / 2

        with _hooked(self.join, mean):
            yield


class HomogeneousFirst(Order):
    """`hohe`: heterogeneous attention over the result of homogeneous attention."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.across(*p.within_near(value, p.near(value), query, key, value))


class HeterogeneousFirst(Order):
    """`heho`: homogeneous attention over the result of heterogeneous attention."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        mixed = p.across_sources(query, key, value)
        return p.within(mixed, mixed)


class NonInvasiveHomogeneousFirst(Order):
    """`NI(hohe)`: homogeneous attention changes only the scores of the heterogeneous pass."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        near = p.near(value)
        query, key = p.within_near(value, near, query, key)
        return p.across(query, key, near)


class NonInvasiveHeterogeneousFirst(Order):
    """`NI(heho)`: heterogeneous attention changes only the scores of the homogeneous pass."""

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        return p.within(p.across_sources(query, key, value), value)


class Gated(Order):
    """Update gate over the two non-invasive branches (eqs. 16, 17): the adaptive fusion."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.hohe = NonInvasiveHomogeneousFirst(width)
        self.heho = NonInvasiveHeterogeneousFirst(width)
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, p: Passes, query: Blocks, key: Blocks, value: Blocks) -> Tensor:
        hohe = self.hohe(p, query, key, value)
        heho = self.heho(p, query, key, value)
        beta = torch.softmax(self.gate(torch.cat((hohe, heho), dim=2)), dim=2)  # eq. (16)
        gated: Tensor = beta[:, :, :1] * hohe + beta[:, :, 1:] * heho  # eq. (17)
        return gated

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """Context in which the gate is a constant."""
        with _hooked(self.gate, lambda module, both, gate: gate.detach()):
            yield


@contextmanager
def _hooked(module: nn.Module, change: Callable[..., Tensor]) -> Iterator[None]:
    """Context in which a module returns `change(module, its arguments, its result)`."""
    hook = module.register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


ORDERS: dict[str, type[Order]] = {
    "gated": Gated,
    "synchronous": Synchronous,
    "ni_hohe": NonInvasiveHomogeneousFirst,
    "ni_heho": NonInvasiveHeterogeneousFirst,
    "hohe": HomogeneousFirst,
    "heho": HeterogeneousFirst,
    "ho": Homogeneous,
    "he": Heterogeneous,
}
