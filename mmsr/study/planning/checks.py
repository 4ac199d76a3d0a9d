"""Whether the fields of a study are of the kinds that it declares: Python itself does not mind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmsr.errors import UserError
from mmsr.study.mistakes import check_mistakes
from mmsr.study.search import Pruner, Sampler

if TYPE_CHECKING:
    from mmsr.study.planning.declaration import Study

_KINDS = (
    ("dataset", str, "the name of a data set"),
    ("space", Mapping, "a mapping such as {'graph.n_codes': Int(10, 50)}"),
    ("objective", str | Sequence, "a metric such as 'valid/mrr@20', or a list of them"),
    ("resources", Mapping | str, "a mapping such as {'cpu': 1, 'gpu': 0}, or 'auto'"),
    ("base", Mapping, "a mapping such as {'model.width': 64}"),
    ("enqueue", Sequence | None, "a list of settings such as [{'model.width': 64}], or None"),
    ("sampler", Sampler, "Tpe(…), CmaEs(…), Gp(…), Nsga2(…), Random() or Grid()"),
    ("pruner", Pruner | None, "Halving(…), Hyperband(…), Median(…) or None"),
    ("warm_start", str | None, "the name of another study, or None"),
    ("trainer", str, "an import path such as 'mmsr.training:train'"),
)


def check_kinds(study: Study) -> None:
    """Check that every field is of its kind, and that the trainer's module exists.

    Raises
    ------
    UserError : names the first field that is not, and what it should be.
    """
    check_mistakes(study)
    for name, kind, example in _KINDS:
        value = getattr(study, name)
        if not isinstance(value, kind):
            raise UserError(f"{name}={value!r}: give {example}")
    enqueued = [("enqueue", settings) for settings in study.enqueue or ()]
    for name, settings in [("base", study.base), *enqueued]:
        if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
            raise UserError(f"{name}: {settings!r}: give a mapping such as {{'model.width': 64}}")
    for key, dimension in study.space.items():
        if not isinstance(getattr(dimension, "when", {}), Mapping):
            raise UserError(f"space: {key}: when={dimension.when!r}: give a mapping by config key")
    module, colon, function = study.trainer.partition(":")
    if not colon or not function or not _is_there(module):
        raise UserError(
            f"trainer={study.trainer!r}: there is no such module to import; give "
            "'module:function', e.g. 'mmsr.training:train'"
        )


def _is_there(module: str) -> bool:
    """Whether a module can be found; only the packages around it are loaded for that."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
