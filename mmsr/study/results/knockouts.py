"""Knock-outs in a study's report: how much each modality contributes to the best trial's model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from mmsr.data import Prefixes
from mmsr.evaluation.knockouts import Knockouts, knock_out
from mmsr.evaluation.robustness import links_of, rank_linked
from mmsr.evaluation.sweep import Mask
from mmsr.graph.masks import Links
from mmsr.study.results.measured_model import Subject
from mmsr.study.results.rank_cache import KeptRanks, model_key
from mmsr.study.storage.known_study import KnownStudy

MOST_TARGETS = 20_000
"""Of large data sets about this many validation targets are ranked, to stay quick."""


class TrialKnockouts(BaseModel):
    """`knockouts.json`: knock-outs of one trial's model."""

    model_config = ConfigDict(frozen=True)

    trial: int
    dataset_hash: str
    knockouts: Knockouts


def read_knockouts(known: KnownStudy) -> TrialKnockouts | None:
    """The recorded knock-outs of the study `known`; None if there are none."""
    try:
        text = known.folder.knockouts.read_text()
        return TrialKnockouts.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def knock_out_trial(known: KnownStudy, subject: Subject) -> TrialKnockouts:
    """Knock out the modalities of a trial's model and write `knockouts.json`.

    Parameters
    ----------
    known : the study.
    subject : the model of one of its trials.

    Raises
    ------
    UserError : the model or its ranks cannot be read or written.
    """
    found = TrialKnockouts(
        trial=subject.trial or 0,
        dataset_hash=subject.dataset.content_hash,
        knockouts=knockouts(
            subject,
            known.folder.path / "robustness",
            some_targets(subject.dataset.valid(), MOST_TARGETS),
            device="cpu",
        ),
    )
    known.folder.write(known.folder.knockouts.name, found.model_dump_json(indent=1))
    return found


def some_targets(prefixes: Prefixes, most: int) -> Prefixes:
    """All targets of randomly drawn users, about `most` in all; the draw is always the same.

    Parameters
    ----------
    prefixes : the targets to draw from.
    most : number of targets.
    """
    if len(prefixes) <= most:
        return prefixes
    users = np.unique(prefixes.users)
    share = most / len(prefixes)
    drawn = np.random.default_rng(0).permutation(users)[: max(int(share * len(users)), 1)]
    rows = np.flatnonzero(np.isin(prefixes.users, drawn))
    return Prefixes(
        prefixes.items, prefixes.starts[rows], prefixes.targets[rows], prefixes.users[rows]
    )


def ranked(
    subject: Subject, folder: Path, prefixes: Prefixes, *, device: str = "auto"
) -> Callable[[Mask], NDArray[np.int64]]:
    """A function from a mask to a model's ranks under it; ranks are cached in `folder`.

    Parameters
    ----------
    subject : the model.
    folder : folder of the cache.
    prefixes : the prefixes to rank, n of them.
    device : device of the model.

    Returns
    -------
    Function of a mask; returns int64 [n], 1 is best.
    """
    model, config = subject.load(device), subject.config
    kept = kept_ranks(subject, folder, prefixes)

    def rank(mask: Mask) -> NDArray[np.int64]:
        own = mask.within(model.tables.modalities)
        return kept.get(str(own), lambda: own.rank(model, prefixes, config))

    return rank


def knockouts(
    subject: Subject,
    folder: Path,
    prefixes: Prefixes,
    *,
    device: str = "auto",
    progress: Callable[[str], None] = lambda message: None,
) -> Knockouts:
    """Knock-outs of a model on some targets; ranks are cached in `folder`.

    Parameters
    ----------
    subject : the model.
    folder : folder of the cache.
    prefixes : the prefixes to rank.
    device : device of the model.
    progress : called with messages for the user.
    """
    model, config = subject.load(device), subject.config
    kept = kept_ranks(subject, folder, prefixes)

    def rank(links: Mapping[str, Links]) -> NDArray[np.int64]:
        what = " ".join(f"{m} {hash_of(link)}" for m, link in sorted(links.items()))
        return kept.get(what, lambda: rank_linked(model, prefixes, config, links))

    own = links_of(model)
    seen = {m: own[m] for m in own if (own[m] >= 0).any()}
    return knock_out(
        seen, rank, prefixes.users, subject.metric, lambda label: progress(f"knock-out: {label}")
    )


def hash_of(links_IK: Links) -> str:
    """A hash that differs for different links.

    Parameters
    ----------
    links_IK : int64 [I, K], codes of each item; -1 marks none.
    """
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(links_IK).data).hexdigest()[:16]


def kept_ranks(subject: Subject, folder: Path, prefixes: Prefixes) -> KeptRanks:
    """The cached ranks of a model on validation targets.

    Parameters
    ----------
    subject : the model.
    folder : folder of the cache.
    prefixes : the validation prefixes that are ranked, all or `some_targets`.
    """
    settings: dict[str, object] = {
        "data": subject.dataset.content_hash,
        "config": subject.config.to_dict(),
        "targets": f"valid {len(prefixes)}",
    }
    return KeptRanks(folder / "ranks", model_key(subject.checkpoint / "best.safetensors", settings))
