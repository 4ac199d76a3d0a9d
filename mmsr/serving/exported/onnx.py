"""A model's network as ONNX: from histories to the scores of all items.

Shapes: B histories, L positions, I items, D width.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mmsr.errors import UserError, one_line, shown
from mmsr.models.base import Recommender as Model
from mmsr.serving.histories import FlatHistories
from mmsr.serving.recommender import Recommender

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

TOLERANCE = 1e-5
"""Most by which a score may differ from torch's, or that share of it, whichever is more."""
INPUT, OUTPUT = "histories", "scores"
_SIZE_IS_FIXED = "tracing inferred a static shape"
_DEPENDS_ON_DATA = "GuardOnDataDependentSymNode"
"""By what torch's two most common refusals are known; the errors have no public classes."""
_MOST_BYTES = 2**31 - 1
"""Most that one file of ONNX can hold."""


def write_onnx(recommender: Recommender, histories: FlatHistories, path: Path) -> None:
    """Write a model's network, and compare it with torch on real histories.

    Its input `histories` is int64 `[B, L]`, oldest items first, -1 behind the end; its output
    `scores` is float32 `[B, I]`. Both sizes are free. The same model gives the same bytes.

    Parameters
    ----------
    recommender : the model; it reads histories.
    histories : n histories of several lengths to compare on.
    path : the file.

    Raises
    ------
    UserError : a library is missing, torch cannot export the model, or ONNX gives other scores.
    """
    name = recommender.config.model.name
    network = Network(recommender.model).eval()
    rows = np.arange(len(histories))
    longest = recommender.config.graph.max_history
    batches = [rows, rows[:1], rows[-1:], *np.array_split(rows, 4)]
    given = [torch.from_numpy(histories.batch(some, longest)) for some in batches if len(some)]
    data = exported(network, given[0], name).SerializeToString()
    for histories_BL in (*given, given[0][:, :1]):
        check_same(network, data, histories_BL, name)
    path.write_bytes(data)


class Network(nn.Module):
    """A model as one network, on the CPU; the vectors of items are computed once.

    Parameters
    ----------
    model : the model; it is copied.
    """

    items_ID: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).cpu().eval()
        _make_exportable(self.model)
        with torch.no_grad():
            self.register_buffer("items_ID", model.item_vectors().detach().cpu().clone())

    def forward(self, histories_BL: Tensor) -> Tensor:
        """Scores of all items, `[B, L]` to `[B, I]`."""
        users_BD: Tensor = self.model.user_vectors(histories_BL)
        return users_BD @ self.items_ID.T


def exported(network: nn.Module, histories_BL: Tensor, name: str) -> ModelProto:
    """Export a network with free sizes of batch and history.

    Parameters
    ----------
    network : takes histories and returns scores.
    histories_BL : several histories of several positions, to follow the network's operations.
    name : name of the model, for errors.

    Raises
    ------
    UserError : a library is missing, or torch cannot export the network.
    """
    _need_libraries()
    free = torch.export.Dim.DYNAMIC
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                network,
                (histories_BL,),
                dynamo=True,
                dynamic_shapes=({0: free, 1: free},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise _impossible(name, _reason(network, error)) from None
    if program is None:  # only where torch writes the file itself
        raise _impossible(name, "torch gave nothing")
    proto: ModelProto = program.model_proto
    if proto.ByteSize() > _MOST_BYTES:
        raise _impossible(name, f"it has {proto.ByteSize():,} bytes, and a file holds 2 GiB")
    _forget_places(proto.graph)
    return proto


def check_same(network: nn.Module, data: bytes, histories_BL: Tensor, name: str) -> None:
    """Check that ONNX gives the scores that torch gives, to `TOLERANCE`.

    Parameters
    ----------
    network : the network.
    data : the same as ONNX.
    histories_BL : what both score.
    name : name of the model, for errors.

    Raises
    ------
    UserError : the scores differ, or onnxruntime cannot run the network.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (found,) = session.run([OUTPUT], {INPUT: histories_BL.numpy()})
    except Exception as error:  # its errors have no common base class
        raise _impossible(
            name, f"onnxruntime cannot run it: {one_line(str(error))[:200]}"
        ) from None
    with torch.no_grad():
        wanted = network(histories_BL).numpy()
    if wanted.shape != found.shape or not np.allclose(
        found, wanted, rtol=TOLERANCE, atol=TOLERANCE
    ):
        worst = np.abs(found - wanted).max() if wanted.shape == found.shape else np.inf
        raise _impossible(
            name,
            f"its scores differ from torch's by up to {worst:.1e} for histories of length "
            f"{histories_BL.shape[1]}",
        )


class _Cell(nn.Module):
    """A gated recurrent cell as a recurrent layer of one step, which ONNX has."""

    def __init__(self, cell: nn.GRUCell) -> None:
        super().__init__()
        self.layer = nn.GRU(cell.input_size, cell.hidden_size)
        with torch.no_grad():
            for name, value in self.layer.named_parameters():
                given = getattr(cell, name.removesuffix("_l0"), None)
                value.copy_(torch.zeros_like(value) if given is None else given)

    def forward(self, x_NE: Tensor, h_ND: Tensor) -> Tensor:
        """The next state, `[N, E]` and `[N, D]` to `[N, D]`."""
        state: Tensor = self.layer(x_NE[None], h_ND[None])[1][0]
        return state


def _with_biases(layer: nn.GRU) -> nn.GRU:
    """The same layer with biases of zero; torch exports layers without biases step by step."""
    made = nn.GRU(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        batch_first=layer.batch_first,
        bidirectional=layer.bidirectional,
    )
    given = dict(layer.named_parameters())
    with torch.no_grad():
        for name, value in made.named_parameters():
            value.copy_(given.get(name, torch.zeros_like(value)))
    return made


def _make_exportable(module: nn.Module) -> None:
    """Replace in place what torch exports for one size alone, by what gives the same."""
    for name, part in module.named_children():
        if isinstance(part, nn.GRUCell):
            setattr(module, name, _Cell(part))
        elif isinstance(part, nn.GRU) and not part.bias:
            setattr(module, name, _with_biases(part))
        else:
            _make_exportable(part)


def _forget_places(graph: GraphProto) -> None:
    """Remove which lines of code made the nodes: their paths are those of this machine."""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
        for attribute in node.attribute:
            own = [attribute.g] if attribute.HasField("g") else []
            for inner in (*own, *attribute.graphs):
                _forget_places(inner)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del value.metadata_props[:]
    del graph.metadata_props[:]


def _need_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--onnx needs {error.name}: install it with `pip install 'mmsr[onnx]'`"
        ) from None


def _reason(network: nn.Module, error: Exception) -> str:
    """Why torch cannot export a network, in one line."""
    cause = error.__cause__ or error
    if _SIZE_IS_FIXED in str(cause):
        if any(isinstance(part, nn.GRU) for part in network.modules()):
            return (
                "torch fixes the sizes of recurrent layers if this process has exported some "
                "before, so start a new process"
            )
        return "the length of histories or their number decides what it computes"
    if type(cause).__name__ == _DEPENDS_ON_DATA:
        return "what it computes depends on the items of a history, not on their number alone"
    kind = type(cause).__name__
    return f"{kind}: {one_line(str(cause))[:200]}"


def _impossible(name: str, why: str) -> UserError:
    return UserError(f"model {shown(name)} cannot be exported as ONNX: {why}; leave out --onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes, and the whole graphs that it prints, from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
