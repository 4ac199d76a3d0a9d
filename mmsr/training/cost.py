"""What a batch costs, part by part: parameters, operations, and memory kept for the backward pass.

Nothing is derived by hand: the model ranks a batch and makes a training step, and whatever is
computed is counted for the part of the model that computes it.

- Operations are those of matrix products (two a multiply-add), as `torch.utils.flop_counter` counts
  them. Sums over the edges of a sparse graph are not counted.
- A backward operation is counted for the part that saved the tensors it needs.
- Kept memory is that of the tensors that autograd saves, each storage once, without parameters.
- torch's attention runs as plain products here: those of its fused kernels are not all counted.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmsr.config import Config
from mmsr.models.base import Recommender
from mmsr.models.mmsr.aggregators.base import Aggregator
from mmsr.models.mmsr.embedding import NodeInput, NodeTables
from mmsr.models.mmsr.model import MMSR
from mmsr.models.mmsr.readout import Readout
from mmsr.models.mmsr.sequence import SequenceModule
from mmsr.training.step import new_optimizer, train_step

EMBEDDINGS, GRAPH, OUTPUT = "embeddings", "batch graph", "output layer and loss"
_TITLES: dict[type[nn.Module], str] = {
    NodeTables: EMBEDDINGS,
    SequenceModule: "dropout of nodes",
    NodeInput: "node input",
    Readout: "readout",
}


@dataclass(frozen=True)
class PartCost:
    """What one part of a model costs for one batch."""

    name: str
    parameters: int
    forward: int
    """Operations of ranking the batch: user vectors, and scores of all items."""
    step: int
    """Operations of a training step: forward, loss and backward."""
    kept_bytes: int
    """Tensors that a training step keeps for its backward pass."""


def measure_cost(
    model: Recommender, given: Tensor, targets: Tensor, config: Config
) -> tuple[PartCost, ...]:
    """Measure what each part of a model costs for one batch; the model is trained one step.

    Parameters
    ----------
    model : on the device of the batch; changed by the step.
    given, targets : as `mmsr.training.step.train_step` takes them.
    config : the config that the model was made from; its batch size is not used.

    Returns
    -------
    One cost per part, in the order of the model's modules.
    """
    parts = part_names(model)
    forward, step = _Books(), _Books()
    model.eval()
    with torch.no_grad(), _booked(model, parts, forward), model.prepared():
        _ = model.user_vectors(given) @ model.item_vectors().T
    model.train()
    optimizer = new_optimizer(config, model)
    known = {*model.parameters(), *model.buffers(), given, targets}
    step.ignore(known)
    with _booked(model, parts, step), saved_tensors_hooks(step.save, step.load):
        train_step(model, optimizer, given, targets, config)
    parameters = _parameters(model, parts)
    order = [name for name in dict.fromkeys(parts.values()) if name != OUTPUT]
    return tuple(
        PartCost(
            name=name,
            parameters=parameters[name],
            forward=forward.operations[name],
            step=step.operations[name],
            kept_bytes=step.kept[name],
        )
        for name in (*order, OUTPUT)
    )


def part_names(model: Recommender) -> dict[str, str]:
    """Name the part that each module belongs to.

    Layers of MMSR are divided further, into the modules that they are made of. The parts of other
    models are the modules that their classes hold.

    Parameters
    ----------
    model : any model.

    Returns
    -------
    Part by the module's path; the path "" is the model itself.
    """
    if not isinstance(model, MMSR):
        paths = (path for path, _ in model.named_modules())
        return {path: path.split(".")[0].replace("_", " ") or OUTPUT for path in paths}
    names, channels, divided = dict[str, str](), _channels(model), set[str]()
    for path, module in model.named_modules():
        above, _, own = path.rpartition(".")
        prefix = next((channels[c] for c in channels if f"{path}.".startswith(f"{c}.")), "")
        if not path:
            names[path] = OUTPUT
        elif module is model.fusion:
            names[path] = GRAPH
        elif isinstance(module, Aggregator):
            names[path] = f"{prefix}layer {int(own) + 1}"
            divided.add(path)
        elif above in divided:
            names[path] = f"{names[above]} {own}"
            if not isinstance(module, nn.Sequential):
                divided.add(path)
        elif above == "fusion" and isinstance(module, nn.Linear):
            names[path] = f"fusion {own}"
        else:
            title = next((name for kind, name in _TITLES.items() if isinstance(module, kind)), None)
            names[path] = names[above] if title is None else f"{prefix}{title}"
    return names


def _channels(model: MMSR) -> dict[str, str]:
    """Prefix of each sequence module's parts, by path; empty where there is only one module."""
    paths = [path for path, m in model.named_modules() if isinstance(m, SequenceModule)]
    if len(paths) == 1:
        return {paths[0]: ""}
    kinds = ("item", *model.tables.modalities)
    return {path: f"{kind}: " for path, kind in zip(paths, kinds, strict=True)}


def _parameters(model: Recommender, parts: dict[str, str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        path = name.rpartition(".")[0]
        counts[parts[path]] += parameter.numel()
    return counts


@dataclass
class _Books:
    """Which part of the model is running, and what has been counted for each part."""

    operations: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    at_work: list[str] = field(default_factory=lambda: [OUTPUT])
    counter: FlopCounterMode = field(default_factory=lambda: FlopCounterMode(display=False))
    _booked: int = 0
    _seen: set[int] = field(default_factory=set)

    def book(self) -> None:
        """Add the operations since the last call to the part that is running."""
        total = self.counter.get_total_flops()
        self.operations[self.at_work[-1]] += total - self._booked
        self._booked = total

    def enter(self, part: str) -> None:
        """Note that a part starts to run."""
        self.book()
        self.at_work.append(part)

    def leave(self) -> None:
        """Note that the running part has finished."""
        self.book()
        self.at_work.pop()

    def ignore(self, tensors: set[Tensor]) -> None:
        """Do not count these among the tensors that are kept."""
        self._seen |= {tensor.untyped_storage().data_ptr() for tensor in tensors}

    def save(self, tensor: Tensor) -> tuple[str, Tensor]:
        """Count a tensor that autograd saves for the backward pass."""
        part, storage = self.at_work[-1], tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.kept[part] += storage.nbytes()
        return part, tensor

    def load(self, saved: tuple[str, Tensor]) -> Tensor:
        """Hand a saved tensor back: what follows is counted for the part that saved it."""
        part, tensor = saved
        self.book()
        self.at_work[-1] = part
        return tensor


@contextmanager
def _booked(model: Recommender, parts: dict[str, str], books: _Books) -> Iterator[None]:
    """Count in `books` what happens in each module's `forward` and other public methods."""
    with ExitStack() as stack:
        for path, module in model.named_modules():
            if path:
                _watch(stack, module, parts[path], books)
        with books.counter, sdpa_kernel(SDPBackend.MATH):
            yield
        books.book()


def _watch(stack: ExitStack, module: nn.Module, part: str, books: _Books) -> None:
    def enter(*_: Any) -> None:
        books.enter(part)

    def leave(*_: Any) -> None:
        books.leave()

    stack.callback(module.register_forward_pre_hook(enter).remove)
    stack.callback(module.register_forward_hook(leave, always_call=True).remove)
    for name, method in _methods(type(module)).items():
        setattr(module, name, _announced(method.__get__(module), part, books))
        stack.callback(delattr, module, name)


def _methods(kind: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """Public methods of mmsr's own modules, without `forward`, which has hooks."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("mmsr."):
            found |= {
                name: value
                for name, value in vars(base).items()
                if inspect.isfunction(value) and not name.startswith("_") and name != "forward"
            }
    return found


def _announced(method: Callable[..., Any], part: str, books: _Books) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        books.enter(part)
        try:
            return method(*arguments, **options)
        finally:
            books.leave()

    return call
