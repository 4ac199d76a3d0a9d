"""Models by name: where each is, and which settings it has.

To add a model: a file with its config and its class, and a line here. The contract tests pick it up
by themselves. A model outside of mmsr needs no line: an entry point of the group `mmsr.models`
names it, or the config gives its import path.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from mmsr.config.base import ModelConfig
from mmsr.config.mmsr import MmsrConfig
from mmsr.config.plugins import load, plugins
from mmsr.errors import UserError, shown, unknown

MODELS: Mapping[str, str] = {
    "mmsr": "mmsr.models.mmsr.model:MMSR",
    "gru4rec": "mmsr.models.sequential.gru4rec:GRU4Rec",
    "sasrec": "mmsr.models.sequential.sasrec:SASRec",
    "sr_gnn": "mmsr.models.sequential.sr_gnn:SRGNN",
    "mmgcn": "mmsr.models.collaborative.mmgcn:MMGCN",
    "mgat": "mmsr.models.collaborative.mgat:MGAT",
    "bm3": "mmsr.models.collaborative.bm3:BM3",
    "gru4rec_f": "mmsr.models.multimodal.gru4rec_f:GRU4RecF",
    "sasrec_f": "mmsr.models.multimodal.sasrec_f:SASRecF",
    "nova": "mmsr.models.multimodal.nova:NOVA",
    "dif_sr": "mmsr.models.multimodal.dif_sr:DIFSR",
    "trans2d": "mmsr.models.multimodal.trans2d:Trans2D",
}
"""Import paths of the models' classes, by name."""
ALL_MODELS = tuple(MODELS)
"""Names of all models of mmsr, e.g. for `Study(models=ALL_MODELS)`."""
GROUP = "mmsr.models"
"""Group of entry points that name models of other packages."""
DEFAULT = "mmsr"
"""The model of a config that names none."""


def model_names() -> tuple[str, ...]:
    """Names that `model.name` may have without being an import path."""
    return (*MODELS, *(name for name in plugins(GROUP) if name not in MODELS))


@cache
def model_class(name: str) -> Any:
    """The class of a model; a subclass of `mmsr.models.base.Recommender`.

    Parameters
    ----------
    name : a name of `model_names`, or an import path such as `shop.models:Markov`.

    Raises
    ------
    UserError : there is none of this name, or it cannot be imported.
    """
    path = MODELS.get(name) or plugins(GROUP).get(name) or name
    if ":" not in path:
        hint = "or give an import path such as shop.models:Markov"
        raise unknown("model", name, model_names(), hint=hint)
    found = load("model", name, path)
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, ModelConfig)):
        raise UserError(
            f"model {shown(name)} has no settings: give it a class attribute Settings, a "
            "subclass of mmsr.config.ModelConfig"
        )
    try:
        settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        knob = ".".join(map(str, first["loc"])) or "the settings"
        raise UserError(
            f"model {shown(name)} has no valid default for {knob}: {first['msg']}"
        ) from None
    return found


def settings_class(name: str) -> type[ModelConfig]:
    """The class of a model's settings; that of MMSR is found without loading torch.

    Parameters
    ----------
    name : as for `model_class`.

    Raises
    ------
    UserError : see `model_class`.
    """
    settings: type[ModelConfig] = MmsrConfig if name == DEFAULT else model_class(name).Settings
    return settings


def named(values: Mapping[str, Any]) -> tuple[type[ModelConfig], dict[str, Any]]:
    """The class of the settings that a tree of them names, and the tree with its name.

    Parameters
    ----------
    values : the tree under `model`.

    Raises
    ------
    UserError : `name` is not the name of a model.
    """
    name = values.get("name", DEFAULT)
    if not isinstance(name, str):
        raise UserError(f"model.name must be a text (given: {shown(name)})")
    return settings_class(name), {**values, "name": name}
