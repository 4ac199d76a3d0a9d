"""The models of a study, each with what is varied and tried first; most studies have one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mmsr.config import Config
from mmsr.config.models import settings_class
from mmsr.data import Dataset
from mmsr.dimensions.base import Dimension, meets
from mmsr.dimensions.kinds import Choice
from mmsr.errors import UserError, shown
from mmsr.study.planning.checks import at_least_one, said
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.rules import Contender
from mmsr.study.search import Sampler, Share
from mmsr.study.search.declarations import check_dimensions
from mmsr.study.search.objectives import check_not_of_test, settings_for
from mmsr.study.search.samplers import methods_with
from mmsr.study.search.share import SHARES
from mmsr.study.search.space import (
    MODEL,
    Space,
    check_settings,
    check_space,
    extreme_graphs,
)
from mmsr.study.workers.resources import Resources


def check_models(study: Declaration, sampler: Sampler) -> Share:
    """Check what a study says of several models, and return how trials are shared out.

    Parameters
    ----------
    study : the study file.
    sampler : its search method.

    Raises
    ------
    UserError : names the first mistake, and what to write.
    """
    share = SHARES.get(study.share) if isinstance(study.share, str) else study.share
    if share is None:
        raise UserError(f"share={shown(study.share)}: give 'trials', 'hours' or ModelHalving(…)")
    share.check()
    if study.models is None:
        if study.share != "trials":
            raise UserError(f"share={shown(study.share)}: that is for a study with models=[…]")
        return share
    given = study.models
    if isinstance(given, str) or not given or not all(isinstance(name, str) for name in given):
        raise UserError(f"models={shown(given)}: give a list of models such as ['mmsr', 'sasrec']")
    if twice := [name for place, name in enumerate(given) if name in list(given)[:place]]:
        raise UserError(f"models: {twice[0]} is there twice: name each model once")
    for name, space in given.items() if isinstance(given, Mapping) else ():
        if not isinstance(space, Mapping | None):
            example = "a search space such as {'model.width': Int(32, 128)}, or None"
            raise UserError(f"models: {name}: {shown(space)}: give {example}")
        if MODEL in (space or {}):
            raise UserError(f"models: {name}: {MODEL} cannot be varied: it is the model's own")
        with naming(name):
            check_dimensions(space or {})
    instead = {
        "space": "models={'NAME': {…}} gives a model a space of its own",
        "enqueue": "each model's known settings are tried first",
    }
    for field, hint in instead.items():
        if getattr(study, field) is not None:
            raise UserError(f"{field}= cannot stand beside models=: {hint}")
    if not sampler.several_models:
        others = methods_with("several_models")
        raise UserError(f"sampler: {sampler} is for a study of one model: choose {others}")
    if study.only_enqueued:
        raise UserError("only_enqueued= cannot stand beside models=: leave one of them out")
    return share


def find_contenders(
    study: Declaration,
    options: Options,
    objectives: Sequence[str],
    dataset: Dataset,
    resources: Resources,
) -> tuple[Contender, ...]:
    """The models of a study, in its order; of a study without `models`, the one that it searches.

    Parameters
    ----------
    study, options : the study file and its command line; the command line wins.
    objectives : the study's objectives.
    dataset : its data set.
    resources : what each trial gets.

    Raises
    ------
    UserError : a space, a setting or the data do not suit a model; several models are named in the
        error.
    """
    named: dict[str | None, Space | None] = {}
    if study.models is None:
        named[None] = study.space
    else:
        own = study.models if isinstance(study.models, Mapping) else {}
        named.update((name, own.get(name)) for name in study.models)
    bases = {}
    for name in named:
        with naming(name):
            bases[name] = _base(study, options, objectives, dataset.name, resources, name)
    if study.models is not None:
        _check_modalities(dataset, {str(name): base for name, (base, _) in bases.items()})
    found = []
    for name, space in named.items():
        with naming(name):
            base, fixed = bases[name]
            declared = base.model.space() if space is None else space
            varied = _without_fixed(declared, base, fixed)
            check_space(varied, base)
            known = _known(study, declared, varied, base)
            _check_data(dataset, varied, base, known)
            found.append(Contender(name, varied, base, known))
    return tuple(found)


@contextmanager
def naming(model: str | None) -> Iterator[None]:
    """Let errors inside this context name the model; of a study of one, they stay as they are.

    Parameters
    ----------
    model : the model; None in a study of one.
    """
    try:
        yield
    except UserError as error:
        if model is None:
            raise
        raise UserError(f"models: {model}: {error}") from None


def _base(
    study: Declaration,
    options: Options,
    objectives: Sequence[str],
    dataset: str,
    resources: Resources,
    model: str | None,
) -> tuple[Config, set[str]]:
    """The config that is varied, and the keys that --set fixed."""
    fixed = dict(options.settings or {})
    closed = {"dataset": "dataset=", "training.select_by": "objective="}
    if model is not None:
        closed[MODEL] = "models="
    for key, instead in closed.items():
        if key in fixed or key in study.base:
            if key == "training.select_by":
                check_not_of_test(key, fixed.get(key, study.base.get(key)))
            raise UserError(f"{key} cannot be set in a study: use {instead} in the study file")
    config = Config(dataset=dataset).replace(
        {"training.select_by": objectives[0], "training.threads": resources.threads}
    )
    if model is not None:
        config = config.replace({MODEL: model})
    config = config.replace(settings_for(objectives))
    config = config.replace(study.base)
    if (epochs := options.epochs if options.epochs is not None else study.epochs) is not None:
        epochs = at_least_one(said("epochs", options), epochs, None)
        config = config.replace({"training.epochs": epochs})
    return config.replace(fixed), set(fixed)


def _check_modalities(dataset: Dataset, bases: Mapping[str, Config]) -> None:
    """Refuse models of feature vectors beside others on data that have none.

    They would be the models that they extend, under other names.
    """
    from mmsr.graph.checks import modalities_of

    blind = [
        name
        for name, base in bases.items()
        if base.model.modalities_as == "features" and not modalities_of(dataset, base.graph)
    ]
    if blind:
        raise UserError(
            f"models: {', '.join(blind)}: data set {dataset.name!r} gives no feature vectors, "
            "which they read: leave them out, or import the data set with --features MODALITY=FILE"
        )


def _without_fixed(space: Space, base: Config, fixed: set[str]) -> Mapping[str, Dimension]:
    """The space without the keys that --set fixed, and without dimensions that these rule out."""
    flat = base.flat()
    return {
        key: dimension
        for key, dimension in space.items()
        if key not in fixed
        and all(meets(flat.get(k), v) for k, v in dimension.when.items() if k in fixed)
    }


def _known(
    study: Declaration, declared: Space, space: Space, base: Config
) -> tuple[Mapping[str, Any], ...]:
    """Settings to try first: those given, else the known ones that lie within the space."""
    if study.enqueue is not None:
        dropped = declared.keys() - space.keys()
        own = [
            {key: value for key, value in settings.items() if key not in dropped}
            for settings in study.enqueue
        ]
        for given in own:
            check_settings(space, base, given)
        return tuple(given for place, given in enumerate(own) if given not in own[:place])
    varied = space.get("model.name")
    names = varied.corners() if isinstance(varied, Choice) else (base.model.name,)
    named = [
        {"model.name": name, **settings}
        for name in names
        for settings in settings_class(name).known_settings()
    ]
    found: list[Mapping[str, Any]] = []
    for settings in named:
        within = {key: value for key, value in settings.items() if key in space}
        try:
            check_settings(space, base, within)
        except UserError:
            continue  # these settings lie outside the space
        if within and within not in found:
            found.append(within)
    return tuple(found)


def _check_data(
    dataset: Dataset, space: Space, base: Config, known: Sequence[Mapping[str, Any]]
) -> None:
    from mmsr.graph.checks import check_inputs

    for config in extreme_graphs(space, base):
        check_inputs(dataset, config)
    for settings in known:
        check_inputs(dataset, base.replace(settings))
    if not dataset.manifest.counts.valid_targets:
        raise UserError(
            f"data set {dataset.name!r} has no validation targets, so a study cannot compare its "
            "trials: import it with another --protocol or longer histories"
        )
