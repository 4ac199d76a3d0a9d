"""What a list of studies and a ranking of trials need, read without the rest.

A trial's config and metrics are most of what is stored of it, and a list shows neither. So a few
queries read the marks and values of all trials, and whole trials are read only of those that are
shown (`mmsr.study.storage.trials.rows_of`). The tables are Optuna's own, which may change: if a
database has them in another version than `mmsr.inner_names.SCHEMA`, Optuna itself reads it, which
takes longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from mmsr.errors import UserError
from mmsr.inner_names import SCHEMA, TABLES, id_of_trial
from mmsr.study.storage import database
from mmsr.study.storage.attributes import MARKS, ORIGIN, OUTCOME, OUTSIDE, RETRY_OF, UID, is_invalid
from mmsr.study.storage.lineage import current, curve_of
from mmsr.study.storage.outside import foreign_study, is_our_study, passed_over
from mmsr.study.storage.progress import Extent, counted_among, extent_of
from mmsr.study.storage.trials import STATES, best_value
from mmsr.urls import Url

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import Connection, Executable, TableClause

_BATCH = 500
"""Studies of one query; databases limit the number of its values."""


@dataclass(slots=True)
class Glimpse:
    """A trial without its settings and config."""

    id: int
    number: int
    state: TrialState
    values: tuple[float, ...] = ()
    peak: float | None = None
    """Highest value that a trial that was stopped early has reported."""
    user_attrs: dict[str, Any] = field(default_factory=dict)
    """The outcome and the marks, of which only `RETRY_OF` and `ORIGIN` have their values."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What ranks a trial; see `mmsr.study.storage.trials.Ranked`."""

    number: int
    state: str
    value: float | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Overview:
    """A study, without the settings of its trials."""

    uid: str
    """The study's unique id."""
    extent: Extent
    standings: list[Standing]
    """All its trials, each as its newest attempt, oldest first."""
    ids: dict[int, int]
    """The storage's id of each trial, by its number."""
    outside: list[int]
    """Numbers of the trials of other clients that do not count (`mmsr.study.storage.outside`)."""

    @property
    def best(self) -> float | None:
        """The first objective of the best finished trial, if there is one."""
        return best_value(self.standings)


def overview_of(url: str | Url, name: str, objectives: Sequence[str] = ()) -> Overview:
    """The overview of one study.

    Parameters
    ----------
    url : URL of its storage.
    name : name of the study, which is there.
    objectives : names of its objectives, for the trials' metrics.

    Raises
    ------
    UserError : the storage cannot be read, or has no such study of mmsr.
    """
    found = overviews(url, [name], objectives).get(name)
    if found is None:
        raise no_study(name, url)
    if isinstance(found, UserError):
        raise found
    return found


def overviews(
    url: str | Url, names: Sequence[str], objectives: Sequence[str] = ()
) -> dict[str, Overview | UserError]:
    """Overviews of those of some studies that a storage has; nothing is written.

    A study that cannot be read has an error in its place, so that it hides no others.

    Parameters
    ----------
    url : URL of the storage.
    names : names of the studies.
    objectives : names of their objectives, for the trials' metrics.

    Raises
    ------
    UserError : the storage cannot be read.
    """
    found: dict[str, Overview | UserError] = {}
    with database.reading(url) as connection:
        if connection is None:
            return {}
        if has_known_tables(connection):
            for first in range(0, len(names), _BATCH):
                for one in _read(connection, names[first : first + _BATCH]):
                    found[one.name] = _checked(one, objectives)
            return found
    if not database.is_made(Url.parse(url)):
        return {}
    storage = database.open_storage(url)
    for name in names:
        try:
            if (study := database.load_study(storage, name)) is not None:
                found[name] = _checked(_glimpses(study), objectives)
        except UserError as error:
            found[name] = error
    return found


def no_study(name: str, url: str | Url) -> UserError:
    """Build the error for a study that a storage does not have.

    Parameters
    ----------
    name : name of the study.
    url : URL of the storage.
    """
    return UserError(
        f"there is no study {name!r} in {Url.parse(url)}: name another --storage, or run it again"
    )


@dataclass
class _Study:
    name: str
    user_attrs: dict[str, Any]
    trials: list[Glimpse]


def _glimpses(study: optuna.Study) -> _Study:
    """A study as Optuna reads it."""
    trials = [
        Glimpse(
            id_of_trial(trial),
            trial.number,
            trial.state,
            tuple(trial.values or ()),
            max(curve_of(trial).values(), default=None),
            trial.user_attrs,
        )
        for trial in study.get_trials(deepcopy=False)
    ]
    return _Study(study.study_name, study.user_attrs, trials)


def _checked(study: _Study, objectives: Sequence[str]) -> Overview | UserError:
    if not is_our_study(study.user_attrs):
        return foreign_study(study.name)
    try:
        return _overview(study.user_attrs, study.trials, objectives)
    except (TypeError, ValueError, AttributeError) as error:
        return UserError(f"study {study.name!r} is damaged in its storage: {error}")


def _overview(
    attributes: Mapping[str, Any], trials: Sequence[Glimpse], objectives: Sequence[str]
) -> Overview:
    own = [trial for trial in trials if not passed_over(trial)]
    return Overview(
        uid=str(attributes[UID]),
        extent=extent_of(attributes, len(counted_among(own, attributes))),
        standings=[
            Standing(
                trial.number,
                STATES[trial.state],
                trial.peak if trial.state == TrialState.PRUNED else next(iter(trial.values), None),
                dict(zip(objectives, trial.values, strict=False)),
            )
            for trial in current(own)
            if not is_invalid(trial)
        ],
        ids={trial.number: trial.id for trial in trials},
        outside=[
            trial.number
            for trial in trials
            if passed_over(trial) or (is_invalid(trial) and trial.user_attrs.get(ORIGIN) == OUTSIDE)
        ],
    )


def has_known_tables(connection: Connection) -> bool:
    """Whether the tables are of the version of Optuna that this module was written for."""
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table("alembic_version"):
        return False
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return bool(version == SCHEMA)


def _table(name: str) -> TableClause:
    from sqlalchemy import column, table

    return table(name, *map(column, TABLES[name]))


def _read(connection: Connection, names: Sequence[str]) -> Iterator[_Study]:
    """Those of these studies that the database has."""
    from sqlalchemy import String, and_, case, cast, func, select

    studies, trials = _table("studies"), _table("trials")
    of_studies, of_trials = _table("study_user_attributes"), _table("trial_user_attributes")
    values, curves = _table("trial_values"), _table("trial_intermediate_values")

    query = select(studies.c.study_id, studies.c.study_name)
    name_of = dict(_rows(connection, query.where(studies.c.study_name.in_(names))))
    attributes: dict[int, dict[str, Any]] = {study: {} for study in name_of}
    query = select(of_studies.c.study_id, of_studies.c.key, of_studies.c.value_json)
    for study, key, text in _rows(
        connection, query.where(of_studies.c.study_id.in_(list(name_of)))
    ):
        attributes[study][key] = _loaded(text)

    among = trials.c.study_id.in_([study for study in name_of if attributes[study]])
    query = select(
        trials.c.study_id, trials.c.trial_id, trials.c.number, cast(trials.c.state, String)
    )
    read: dict[int, Glimpse] = {}
    by_study: dict[int, list[Glimpse]] = {study: [] for study in name_of}
    for study, id_, number, state in _rows(connection, query.where(among).order_by("trial_id")):
        read[id_] = Glimpse(id_, number, TrialState[state])
        by_study[study].append(read[id_])

    needed = case((of_trials.c.key.in_((RETRY_OF, ORIGIN)), of_trials.c.value_json), else_=None)
    query = (
        select(of_trials.c.trial_id, of_trials.c.key, needed)
        .join(trials, trials.c.trial_id == of_trials.c.trial_id)
        .where(among, of_trials.c.key.in_((OUTCOME, *MARKS)))
    )
    for id_, key, text in _rows(connection, query):
        if id_ in read:  # a study that is run gets new trials between two queries
            read[id_].user_attrs[key] = None if text is None else _loaded(text)

    of_value = and_(trials.c.trial_id == values.c.trial_id, among)
    query = select(values.c.trial_id, values.c.value, cast(values.c.value_type, String)).join(
        trials, of_value
    )
    for id_, value, kind in _rows(connection, query.order_by("trial_id", values.c.objective)):
        if id_ in read:
            read[id_].values += (_INFINITE.get(kind, value),)

    stopped = and_(trials.c.trial_id == curves.c.trial_id, among)
    query = (
        select(curves.c.trial_id, func.max(curves.c.intermediate_value))
        .join(trials, stopped)
        .where(cast(trials.c.state, String) == TrialState.PRUNED.name)
        .group_by(curves.c.trial_id)
    )
    for id_, value in _rows(connection, query):
        if id_ in read:
            read[id_].peak = value

    for study, name in name_of.items():
        yield _Study(name, attributes[study], by_study[study])


def _loaded(text: str | None) -> Any:
    """The value of an attribute; None if it is damaged."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


_INFINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}


def _rows(connection: Connection, query: Executable) -> list[Any]:
    return list(connection.execute(query).all())
