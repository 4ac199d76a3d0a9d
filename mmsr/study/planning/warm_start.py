"""Warm start: a study learns from the trials of another study.

- If the values of the two studies can be compared, the other study's finished trials are added to
  this one, for the search method to learn from. They must have run on the same data and split and
  for the same objectives, and this space must reproduce their exact configs (threads and seeds
  aside). They are marked as imported: they are not counted, shown, exported or finalized, and no
  other trial is stopped early because of them.
- With several objectives, the first must be the same in both studies, since it chooses the best
  epochs, and the other study must have measured all of this one's. It may have measured more.
- If values cannot be compared (other data, other objectives, or configs that differ in what this
  study fixes), only settings are taken over: those of the other study's best trials by its first
  objective are tried first, as far as they lie within this space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError, shown, unknown
from mmsr.format import plural
from mmsr.numbers import alike
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.site import Site
from mmsr.study.search.space import Space, apply, propose, settings_of, stored
from mmsr.study.storage.attributes import IMPORTED, ORIGIN, TRIED
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.folder import StudyFolder, study_names
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.trials import TrialRow, finished, rows
from mmsr.tracking.databases import sqlite_file
from mmsr.urls import Url

if TYPE_CHECKING:
    import optuna

    from mmsr.study.storage.definition import Definition

_TOP = 5
"""How many of the best settings are tried first if values cannot be compared."""
_OWN = {"training.threads", "seed", "graph.seed"}
"""Config keys in which comparable trials may differ."""
_ABSENT = object()


@dataclass(frozen=True)
class OtherTrial:
    """A trial of another study, translated to this study's space."""

    number: int
    settings: Mapping[str, Any]
    values: tuple[float, ...]
    """One for each objective of this study; empty if they cannot be compared."""


@dataclass(frozen=True)
class WarmStart:
    """The trials of another study that this one learns from."""

    study: str
    uid: str
    informing: tuple[OtherTrial, ...]
    """Trials whose values the search method learns from."""
    trying: tuple[OtherTrial, ...]
    """Trials whose settings are tried first, best first."""
    finished: int
    """Number of finished trials of the other study."""
    reason: str
    """Why some of them could not be used; empty if all could."""

    def __str__(self) -> str:
        if self.trying:
            return (
                f"{self.study}: the settings of its best {len(self.trying)} are tried first; its "
                f"values cannot be compared ({self.reason})"
            )
        left = self.finished - len(self.informing)
        rest = f"; {left} left out ({self.reason})" if left else ""
        return f"{self.study}: the search learns from {len(self.informing)} of its trials{rest}"


def warm_start(
    study: Declaration,
    options: Options,
    own: str,
    site: Site,
    objectives: Sequence[str],
    space: Space,
    base: Config,
) -> WarmStart | None:
    """Read the trials of the other study, if one is named; nothing is written.

    Parameters
    ----------
    study, options : the study file and its command line; either may name the other study, the
        command line wins.
    own : name of this study.
    site : site of this study. A study that was not run from this `$MMSR_HOME` is looked for in its
        storage.
    objectives, space, base : objectives, space and config of this study.

    Returns
    -------
    The trials to learn from; None if no study is named.

    Raises
    ------
    UserError : there is no such study, it has no finished trial, or none of its trials fits the
        space.
    """
    name = study.warm_start if options.warm_start is None else options.warm_start
    if name is None:
        return None
    if study.only_enqueued:
        raise UserError("--warm-start: this study proposes nothing, it runs what is enqueued")
    if name == own:
        raise UserError(
            f"--warm-start {name}: that is this study itself; leave it out to resume the study"
        )
    known = _look_up(name, site.storage)
    known.check_honest()
    best = finished(rows(known.study), known.definition.objectives)
    if not best:
        raise UserError(f"--warm-start {name}: it has no finished trial yet to learn from")
    problem = _incomparable(known.definition, site.dataset, objectives, study.trainer)
    informing, trying, why = [], [], ""
    for row in best:
        try:
            told, differing = _as_in_this_space(row, site.dataset, objectives, space, base)
        except UserError as error:
            why = why or str(error)
            continue
        trying.append(told)
        if not differing and told.values and not problem:
            informing.append(told)
        elif differing:
            why = why or f"trial {row.number} has {differing}"
    if not trying:
        raise UserError(
            f"--warm-start {name}: none of its {len(best)} finished trials fits this study's "
            f"space: {why}"
        )
    return WarmStart(
        study=name,
        uid=study_uid(known.study),
        informing=tuple(informing),
        trying=() if informing else tuple(_distinct(trying)[:_TOP]),
        finished=len(best),
        reason=problem or why,
    )


def import_trials(study: optuna.Study, warm: WarmStart, space: Space, base: Config) -> int:
    """Add the other study's trials to this one, except those already added; returns their number.

    Calling it again adds only trials that the other study has finished since. If a call is
    interrupted, the next one adds the rest.

    Parameters
    ----------
    study : this study.
    warm : the other study's trials.
    space, base : search space of this study, and the config that it varies.
    """
    import optuna

    there = {
        (mark["uid"], mark["trial"])
        for trial in study.get_trials(deepcopy=False)
        for key in (IMPORTED, TRIED)
        if (mark := trial.user_attrs.get(key)) is not None
    }
    told = 0
    for one in (*warm.informing, *warm.trying):
        if (warm.uid, one.number) in there:
            continue
        mark = {"study": warm.study, "uid": warm.uid, "trial": one.number}
        kept = stored(space, one.settings)
        if one in warm.trying:
            study.enqueue_trial(kept, user_attrs={ORIGIN: "warm start", TRIED: mark})
        else:
            fixed = optuna.trial.FixedTrial(kept)
            propose(fixed, space, base)  # type: ignore[arg-type]
            study.add_trial(
                optuna.trial.create_trial(
                    params=fixed.params,
                    distributions=fixed.distributions,
                    values=list(one.values),
                    user_attrs={ORIGIN: "warm start", IMPORTED: mark},
                )
            )
        told += 1
    return told


def _look_up(name: str, storage: Url) -> KnownStudy:
    if StudyFolder(name).read_record() is not None:
        return look_up(name)
    file = sqlite_file(storage)
    if file is not None and not file.exists():
        raise unknown("study to start from", name, study_names(), where=paths.searched())
    return look_up(name, storage)


def _incomparable(
    other: Definition, dataset: Dataset, objectives: Sequence[str], trainer: str
) -> str:
    """Why the values of another study cannot be compared with this one's; empty if they can."""
    if other.dataset_hash != dataset.content_hash:
        return "other data"
    if other.protocol != dataset.protocol:
        return "other protocol"
    if other.objective != objectives[0]:
        return f"other objective: {other.objective}"
    if other.trainer not in (None, trainer):
        return f"other trainer: {other.trainer}"
    lacking = [objective for objective in objectives if objective not in other.objectives]
    return f"it has no {' and no '.join(lacking)}" if lacking else ""


def _as_in_this_space(
    row: TrialRow, dataset: Dataset, objectives: Sequence[str], space: Space, base: Config
) -> tuple[OtherTrial, str]:
    """A trial translated to this space, and in what its config differs there; empty if it does not.

    Raises
    ------
    UserError : its settings lie outside the space, or do not fit the data.
    """
    from mmsr.graph.checks import check_inputs

    if row.config is None or row.value is None:
        raise UserError(f"trial {row.number} has no config")
    flat = row.config.flat()
    try:
        settings = settings_of(space, base, flat)
    except UserError as error:
        raise UserError(f"trial {row.number} {error}") from None
    config = apply(base, settings)
    check_inputs(dataset, config)
    ours = config.flat()
    other = _differing(flat, ours)
    noted = {**row.metrics, objectives[0]: row.value}
    values = tuple(noted[name] for name in objectives if math.isfinite(noted.get(name, math.nan)))
    return OtherTrial(
        row.number, settings, values if len(values) == len(objectives) else ()
    ), _in_words(other, flat, ours)


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The keys in which two comparable configs must not differ, and do."""
    return [
        key
        for key in dict.fromkeys([*theirs, *ours])
        if key not in {*_OWN, "dataset"}
        and not alike(theirs.get(key, _ABSENT), ours.get(key, _ABSENT))
    ]


def _in_words(keys: Sequence[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """How a trial's config differs from this study's, of which the first key is named in full."""
    if not keys:
        return ""
    first, *more = keys
    other = f"{first}={shown(theirs[first])}" if first in theirs else f"no {first}"
    own = f"fixes {shown(ours[first])}" if first in ours else "has no such key"
    told = f"{other}, and this study {own}"
    return f"{told}; it differs in {plural(len(more), 'other key')} too" if more else told


def _distinct(found: Sequence[OtherTrial]) -> list[OtherTrial]:
    """Without trials that have the same settings in this space as an earlier one."""
    kept: list[OtherTrial] = []
    for one in found:
        if one.settings not in [other.settings for other in kept]:
            kept.append(one)
    return kept
