"""Warm start: what another study has found informs this one.

- Trials whose values can be compared with this study's are told to the search method: they ran on
  the same data and split, for the same objectives, and this space makes the very same config of
  their settings (threads and seeds apart). They are marked, and are no trials of this study: they
  are not counted, shown, exported or finalised, and stop no other trial early.
- Of several objectives, the first must be the same, which chooses the best epochs, and the other
  study must have had all of this one's; that it had more does no harm.
- Values of other data or objectives, or of configs that differ in what this study fixes, say
  nothing here. Then the settings of the other study's best trials (by its first objective) are
  tried first, as far as the space has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.errors import UserError, unknown
from mmsr.study.planning.declaration import Options
from mmsr.study.search.space import Space, apply, propose, settings_of, stored
from mmsr.study.storage.folder import StudyFolder, study_names
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.lineage import IMPORTED
from mmsr.tracking.databases import sqlite_file

if TYPE_CHECKING:
    import optuna

    from mmsr.study.planning.declaration import Declaration
    from mmsr.study.storage.definition import Definition
    from mmsr.study.storage.trials import TrialRow

TRIED = "warm_start"
"""Attribute of a trial whose settings come from another study."""
_TOP = 5
"""So many of the best settings are tried where values cannot be compared."""
_OWN = {"training.threads", "seed", "graph.seed"}
"""Config keys in which comparable trials may differ."""


@dataclass(frozen=True)
class Told:
    """A trial of another study, as this space has it."""

    number: int
    settings: Mapping[str, Any]
    values: tuple[float, ...]
    """By objective of this study; empty where they cannot be compared."""


@dataclass(frozen=True)
class WarmStart:
    """What another study tells this one."""

    study: str
    uid: str
    informing: tuple[Told, ...]
    """Trials whose values inform the search method."""
    trying: tuple[Told, ...]
    """Trials whose settings are tried first, best first."""
    finished: int
    """Finished trials of the other study."""
    reason: str
    """Why others of them say nothing here; empty where all do."""

    def __str__(self) -> str:
        if self.trying:
            return (
                f"{self.study}: its best {len(self.trying)} settings are tried first, its values "
                f"cannot be compared ({self.reason})"
            )
        left = self.finished - len(self.informing)
        rest = f"; {left} left out ({self.reason})" if left else ""
        return f"{self.study}: {len(self.informing)} of its trials inform the proposals{rest}"


def read_warm_start(
    study: Declaration,
    options: Options,
    own: str,
    storage: str,
    dataset: Dataset,
    objectives: Sequence[str],
    space: Space,
    base: Config,
) -> WarmStart:
    """Read what the other study has found; nothing is written.

    Parameters
    ----------
    study, options : one of them names the other study, the command line before the study file.
    own : name of this study.
    storage : where the other study is looked for when it was not run from this `$MMSR_HOME`.
    dataset, objectives, space, base : of this study.

    Raises
    ------
    UserError : there is no such study, it has no finished trial, or none fits the space.
    """
    name = study.warm_start if options.warm_start is None else options.warm_start
    assert name is not None
    if study.only_enqueued:
        raise UserError("--warm-start: this study proposes nothing, it runs what is enqueued")
    from mmsr.study.storage.database import study_uid
    from mmsr.study.storage.trials import ranked, rows

    if name == own:
        raise UserError(
            f"--warm-start {name}: that is this study itself; the same command without it goes on"
        )
    known = _look_up(name, storage)
    known.check_honest()
    finished = [row for row in ranked(rows(known.study)) if row.state == "finished"]
    if not finished:
        raise UserError(f"--warm-start {name}: it has no finished trial yet, so it knows nothing")
    problem = _incomparable(known.definition, dataset, objectives)
    informing, trying, why = [], [], ""
    for row in finished:
        try:
            told, same = _told(row, dataset, objectives, space, base)
        except UserError as error:
            why = why or str(error)
            continue
        trying.append(told)
        if same and told.values and not problem:
            informing.append(told)
        elif not same:
            why = why or f"trial {row.number} has what this study does not vary or fixes otherwise"
    if not trying:
        raise UserError(
            f"--warm-start {name}: none of its {len(finished)} finished trials fits this study's "
            f"space: {why}"
        )
    return WarmStart(
        study=name,
        uid=study_uid(known.study),
        informing=tuple(informing),
        trying=() if informing else tuple(_distinct(trying)[:_TOP]),
        finished=len(finished),
        reason=problem or why,
    )


def tell(study: optuna.Study, warm: WarmStart, space: Space, base: Config) -> int:
    """Add to a study what it has not been told yet; returns the number of trials added.

    Telling again what was told changes nothing, so being cut off in between is mended by the next
    call, and trials that the other study has finished since are added.
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
            study.enqueue_trial(kept, user_attrs={"origin": "warm start", TRIED: mark})
        else:
            fixed = optuna.trial.FixedTrial(kept)
            propose(fixed, space, base)  # type: ignore[arg-type]
            study.add_trial(
                optuna.trial.create_trial(
                    params=fixed.params,
                    distributions=fixed.distributions,
                    values=list(one.values),
                    user_attrs={"origin": "warm start", IMPORTED: mark},
                )
            )
        told += 1
    return told


def _look_up(name: str, storage: str) -> KnownStudy:
    if StudyFolder(name).read_record() is not None:
        return look_up(name)
    file = sqlite_file(storage)
    if file is not None and not file.exists():
        raise unknown("study to start from", name, study_names())
    return look_up(name, storage)


def _incomparable(other: Definition, dataset: Dataset, objectives: Sequence[str]) -> str:
    """Why values of a study say nothing here; empty where they do."""
    if other.dataset_hash != dataset.content_hash:
        return "other data"
    if other.protocol != dataset.protocol:
        return "other protocol"
    if other.objective != objectives[0]:
        return f"other objective: {other.objective}"
    lacking = [objective for objective in objectives if objective not in other.objectives]
    return f"it has no {' and no '.join(lacking)}" if lacking else ""


def _told(
    row: TrialRow, dataset: Dataset, objectives: Sequence[str], space: Space, base: Config
) -> tuple[Told, bool]:
    """A trial as this space has it, and whether that is the very same config.

    Raises
    ------
    UserError : the space, or the data, do not have its settings.
    """
    from mmsr.graph.codes import check_graph_config

    if row.config is None or row.value is None:
        raise UserError(f"trial {row.number} has no config")
    flat = row.config.flat()
    try:
        settings = settings_of(space, base, flat)
    except UserError as error:
        raise UserError(f"trial {row.number} {error}") from None
    config = apply(base, settings)
    check_graph_config(dataset, config.graph)
    ours = config.flat()
    same = flat.keys() == ours.keys() and all(
        flat[key] == ours[key] for key in flat if key not in {*_OWN, "dataset"}
    )
    noted = {**row.metrics, objectives[0]: row.value}
    values = tuple(noted[name] for name in objectives if name in noted)
    return Told(row.number, settings, values if len(values) == len(objectives) else ()), same


def _distinct(found: Sequence[Told]) -> list[Told]:
    """Without those whose settings another one has, as this space has them."""
    kept: list[Told] = []
    for one in found:
        if one.settings not in [other.settings for other in kept]:
            kept.append(one)
    return kept
