"""Whether a data set has what a config asks of it; nothing is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmsr.config import Config, GraphConfig
from mmsr.data import Dataset
from mmsr.errors import UserError, unknown


def modalities_of(dataset: Dataset, config: GraphConfig) -> tuple[str, ...]:
    """The modalities of a data set that a config uses, in the data set's order.

    Parameters
    ----------
    dataset : a prepared data set.
    config : graph settings; `modalities=None` stands for all.

    Raises
    ------
    UserError : the config names a modality that the data set lacks.
    """
    if config.modalities is None:
        return tuple(dataset.modalities)
    for name in config.modalities:
        if name not in dataset.modalities:
            raise unknown("modality", name, dataset.modalities, hint="set graph.modalities")
    return tuple(m for m in dataset.modalities if m in config.modalities)


def fitted_rows(dataset: Dataset, modality: str, config: GraphConfig) -> NDArray[np.bool_]:
    """Which of the items that have a modality its codes are fitted on.

    Parameters
    ----------
    dataset : a prepared data set.
    modality : name of the modality.
    config : graph settings; `fitted_on` counts.

    Returns
    -------
    bool `[n]`, by row of the modality's feature table.
    """
    items = dataset.features(modality).items
    if config.fitted_on == "all":
        return np.ones(len(items), dtype=np.bool_)
    return dataset.in_training[items]


def check_graph_config(dataset: Dataset, config: GraphConfig) -> None:
    """Check a graph config against a data set without computing anything.

    Parameters
    ----------
    dataset : a prepared data set.
    config : the graph settings of a config for it.

    Raises
    ------
    UserError : an unknown modality, or more codes or links than the data allow.
    """
    if isinstance(config.n_codes, dict):
        for name in config.n_codes:
            if name not in dataset.modalities:
                raise unknown("modality in graph.n_codes", name, dataset.modalities)
    used = modalities_of(dataset, config)
    for name in config.missing.modalities or ():
        if name not in used:
            raise unknown("modality in graph.missing.modalities", name, used)
    for modality in used:
        fitted = fitted_rows(dataset, modality, config)
        n_codes, n_fitted, where = config.codes_of(modality), int(fitted.sum()), ""
        if not fitted.all():
            where = " and occur in training (graph.fitted_on=train)"
        if n_codes > n_fitted:
            raise UserError(
                f"graph.n_codes={n_codes} is more than the {n_fitted} items of {dataset.name!r} "
                f"that have {modality} features{where}: choose at most {n_fitted}"
            )
        if config.links_per_item > n_codes:
            raise UserError(
                f"graph.links_per_item={config.links_per_item} is more than the {n_codes} codes of "
                f"{modality}: choose at most {n_codes}"
            )


def check_inputs(dataset: Dataset, config: Config) -> None:
    """Check that a data set has what a config's model reads, without computing anything.

    Parameters
    ----------
    dataset : a prepared data set.
    config : a whole config for it.

    Raises
    ------
    UserError : an unknown modality, or none where the model needs one; for a model of codes, see
        `check_graph_config`.
    """
    if config.model.needs_modalities and not modalities_of(dataset, config.graph):
        has = ", ".join(dataset.modalities)
        raise UserError(
            f"model {config.model.name} needs feature vectors of at least one modality, and "
            + (
                f"graph.modalities names none: name some of {has}"
                if has
                else f"data set {dataset.name!r} has none: import them with it, or choose another "
                "model"
            )
        )
    if config.model.modalities_as == "codes":
        check_graph_config(dataset, config.graph)
        return
    used = modalities_of(dataset, config.graph)
    for name in config.graph.missing.modalities or ():
        if name not in used:
            raise unknown("modality in graph.missing.modalities", name, used)
