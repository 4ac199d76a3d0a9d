"""Modality codes: clusters of a modality's feature space, and the codes each item is linked to.

Codes are cached by a hash of the features and the settings. A file lock makes sure that they are
computed once, even when many trials ask at the same moment. If the home is in an object store,
machines also share their codes there.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr import paths
from mmsr.config import GraphConfig
from mmsr.errors import UserError, reason_of, system_error
from mmsr.graph.checks import check_graph_config, fitted_rows, modalities_of
from mmsr.graph.clustering import CLUSTERINGS, Level
from mmsr.graph.masks import without
from mmsr.graph.reduction import REDUCTIONS
from mmsr.remote import RemotePath

if TYPE_CHECKING:
    from mmsr.data import Dataset, FeatureTable

_CACHE_VERSION = 1


@dataclass(frozen=True)
class ModalityCodes:
    """Codes of one modality."""

    links: NDArray[np.int64]
    """`[n_items, levels * links_per_item]`, level by level, each with the nearest code first; -1
    for items without this modality. Codes of level l begin at `l * n_codes`."""
    centres: NDArray[np.float32]
    """`[levels * n_codes, width]` cluster centres in the (reduced) feature space; from the second
    level of residual codes on, centres of what the levels before left over."""


def modality_codes(dataset: Dataset, config: GraphConfig) -> dict[str, ModalityCodes]:
    """Codes of every modality that the config uses, from the cache where they are known.

    Features come from the catalogue alone. Centres are fitted on those of the items that occur in
    the training part (`fitted_on="train"`), so items that only validation or test has do not
    influence them; they are linked to codes like all others. A model that is trained on validation,
    too, has the same codes as before. Items that `config.missing` chooses get no links.

    Parameters
    ----------
    dataset : a prepared data set.
    config : the graph settings of a config for it.

    Returns
    -------
    Codes by modality, in the data set's order.

    Raises
    ------
    UserError : see `check_graph_config`; or the cache folder cannot be written.
    """
    check_graph_config(dataset, config)
    codes = {
        modality: _cached(
            dataset.features(modality),
            dataset.features_hash(modality),
            dataset.n_items,
            config,
            config.codes_of(modality),
            fitted_rows(dataset, modality, config),
        )
        for modality in modalities_of(dataset, config)
    }
    if config.missing.rate == 0:
        return codes
    which = codes if config.missing.modalities is None else config.missing.modalities
    links = {modality: code.links for modality, code in codes.items()}
    kept = without(links, which, config.missing.rate, config.missing.seed)
    return {m: ModalityCodes(links=kept[m], centres=codes[m].centres) for m in codes}


def _cached(
    table: FeatureTable,
    features_hash: str,
    n_items: int,
    config: GraphConfig,
    n_codes: int,
    fitted: NDArray[np.bool_],
) -> ModalityCodes:
    from filelock import FileLock

    settings = {
        "version": _CACHE_VERSION,
        "items": n_items,
        "n_codes": n_codes,
        "links_per_item": config.links_per_item,
        "reduction": config.reduction,
        "reduced_width": config.reduced_width if config.reduction != "none" else None,
        "clustering": config.clustering,
        "seed": config.seed,
    }
    if config.clustering == "residual":
        settings["levels"] = config.levels
    path = paths.codes_cache() / f"{_key(features_hash, settings, fitted)}.safetensors"
    try:
        codes = _read(path)
        if codes is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                codes = _read(path) or _fetch(path)
                if codes is None:
                    codes = compute_codes(table, n_items, config, n_codes, fitted)
                    _write(path, codes)
                    _share(path)
    except OSError as error:
        raise UserError(
            f"cannot use the cache folder {str(path.parent)!r}: {reason_of(error)}; "
            "set MMSR_HOME to a folder that can be written, with space"
        ) from None
    return codes


def _read(path: Path) -> ModalityCodes | None:
    """Codes in the cache; None where they are not known, or their file is damaged.

    The arrays are views of the mapped file: all processes of a node share them, and a process that
    writes to them gets its own copy.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return ModalityCodes(**{name: array.numpy() for name, array in load_file(path).items()})
    except (FileNotFoundError, SafetensorError):
        return None


def _write(path: Path, codes: ModalityCodes) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # Not the process id: processes on different machines may have the same one.
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        with paths.shared_as_usual(partial):
            save_file({"links": codes.links, "centres": codes.centres}, partial)
        partial.replace(path)
    except SafetensorError as error:
        raise system_error(error) from None
    finally:
        partial.unlink(missing_ok=True)


def _fetch(path: Path) -> ModalityCodes | None:
    """Codes that another machine has put into the home's object store; None without them."""
    shared = _shared(path)
    try:
        if shared is None or not shared.is_file():
            return None
        shared.download(path)
    except OSError:  # without the shared cache, codes are computed here
        return None
    return _read(path)


def _share(path: Path) -> None:
    if (shared := _shared(path)) is not None:
        with suppress(OSError):
            shared.upload(path)


def _shared(path: Path) -> RemotePath | None:
    home = paths.remote()
    return None if home is None else home / "cache" / "codes" / path.name


def _key(features_hash: str, settings: Mapping[str, object], fitted: NDArray[np.bool_]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(features_hash.encode())
    if not fitted.all():
        digest.update(fitted.tobytes())
    return digest.hexdigest()[:32]


def compute_codes(
    table: FeatureTable,
    n_items: int,
    config: GraphConfig,
    n_codes: int,
    fitted: NDArray[np.bool_] | None = None,
) -> ModalityCodes:
    """Reduce, cluster and link the features of one modality, without the cache.

    The result does not depend on the number of threads.

    Parameters
    ----------
    table : feature vectors of the n items that have the modality.
    n_items : size of the catalogue.
    config : reduction, clustering, links per item and seed.
    n_codes : number of clusters, at each level.
    fitted : bool `[n]`, the vectors that reduction and clustering are fitted on; None: all.
    """
    levels = compute_levels(table, config, n_codes, fitted)
    links = np.full((n_items, len(levels) * config.links_per_item), -1, dtype=np.int64)
    links[table.items] = np.concatenate(
        [level.nearest + n_codes * at for at, level in enumerate(levels)], axis=1
    )
    return ModalityCodes(links=links, centres=np.concatenate([one.centres for one in levels]))


def compute_levels(
    table: FeatureTable,
    config: GraphConfig,
    n_codes: int,
    fitted: NDArray[np.bool_] | None = None,
) -> list[Level]:
    """Codes of each level, with the distances of the items that have the modality.

    Parameters
    ----------
    table, config, n_codes, fitted : as for `compute_codes`.
    """
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(table.vectors, dtype=np.float32)
    if fitted is None:
        fitted = np.ones(len(vectors), dtype=np.bool_)
    with threadpool_limits(1):
        reduced = REDUCTIONS[config.reduction](vectors, fitted, config.reduced_width, config.seed)
        return list(CLUSTERINGS[config.clustering](reduced, fitted, n_codes, config))
