"""A storage for the only process that writes to a study: it reads once, then answers from memory.

Optuna's own cache asks the database again for each trial that has not ended, at every look; in a
study with many reports, that is most of the driver's time. Here a study has one driver
(`mmsr.study.storage.driver_lock`), so its own reads and writes are all there is.
Every write goes to the database first and at once; those inside `together` are one transaction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mmsr.inner_names import id_of_study, id_of_trial, one_transaction, storage_of, with_id
from mmsr.study.storage.attributes import as_read

Screen = Callable[[FrozenTrial], FrozenTrial]


@dataclass
class _LoadedStudy:
    """A study as the database has it."""

    name: str
    directions: list[StudyDirection]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    trials: list[FrozenTrial]
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    """By parameter; the values of all trials must be compatible with it."""


class SingleWriterStorage(BaseStorage):
    """Optuna's storage over a database, for the one process that writes to a study.

    A trial that was handed out never changes: a write replaces it by a new one. A write has reached
    the database when the method returns or, inside `together`, when that ends.

    No other process may change trials of the same study: its writes would not be seen. Those that
    others add are seen when this storage makes the next one. It must be used from one thread only.

    Parameters
    ----------
    database : the database with the studies.
    screened : replaces a trial that was read by what is to be seen of it; None shows it as it is.
    """

    def __init__(self, database: RDBStorage, screened: Screen | None = None) -> None:
        self._database, self._screened = database, screened or _as_it_is
        self._studies: dict[int, _LoadedStudy] = {}
        self._study_and_number: dict[int, tuple[int, int]] = {}
        """Study and number of each trial, by the trial's id."""
        self._in_transaction = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write everything inside this context as one transaction: all is stored, or nothing."""
        if self._in_transaction:
            yield
            return
        self._in_transaction = True
        try:
            with one_transaction(self._database):
                yield
        except BaseException:
            self._forget()
            raise
        finally:
            self._in_transaction = False

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Make a study."""
        return self._database.create_new_study(directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Remove a study."""
        self._forget()
        self._database.delete_study(study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study."""
        study = self._study(study_id)
        self._database.set_study_user_attr(study_id, key, value)
        study.user_attrs = {**study.user_attrs, key: as_read(value)}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one of Optuna's own attributes of a study."""
        study = self._study(study_id)
        self._database.set_study_system_attr(study_id, key, value)
        study.system_attrs = {**study.system_attrs, key: as_read(value)}

    def get_study_id_from_name(self, study_name: str) -> int:
        """Id of a study; KeyError if there is none of this name."""
        known = (id_ for id_, study in self._studies.items() if study.name == study_name)
        return next(known, None) or self._database.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Name of a study."""
        return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Whether each objective of a study is minimised or maximised."""
        return self._study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Attributes of a study."""
        return self._study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Optuna's own attributes of a study."""
        return self._study(study_id).system_attrs

    def get_all_studies(self) -> list[Any]:
        """All studies of the database."""
        return self._database.get_all_studies()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial, by default a running one."""
        trials = self._study(study_id).trials
        trial_id = self._database.create_new_trial(study_id, template_trial)
        made = self._database.get_trial(trial_id)
        if made.number != len(trials):  # others have added trials meanwhile
            self._studies.pop(study_id)
            self._study(study_id).trials[made.number] = made
            return trial_id
        trial = with_id(_copy_as_read(template_trial) if template_trial else _blank(), trial_id)
        trial.number = len(trials)
        self._study_and_number[trial_id] = study_id, trial.number
        trials.append(trial)
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter of a running trial."""
        trial = self._updatable(trial_id)
        known = self._study(self._study_and_number[trial_id][0]).distributions
        check_distribution_compatibility(known.setdefault(param_name, distribution), distribution)
        with self.together():
            self._database.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        value = distribution.to_external_repr(param_value_internal)
        self._put(
            trial,
            params={**trial.params, param_name: value},
            distributions={**trial.distributions, param_name: distribution},
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set a trial's state; False if a trial that should start to run is not waiting."""
        trial = self._updatable(trial_id)
        if trial.state == state == TrialState.RUNNING:
            return False
        try:
            done = self._database.set_trial_state_values(trial_id, state, values)
        except UpdateFinishedTrialError:
            if state != TrialState.RUNNING:
                raise
            done = False
        if not done:  # somebody else has taken it
            self._studies.pop(self._study_and_number[trial_id][0])
            return False
        new: dict[str, Any] = {"state": state}
        if values is not None:
            new["values"] = list(values)
        if state == TrialState.RUNNING:
            new["datetime_start"] = datetime.now()
        if state.is_finished():
            new["datetime_complete"] = datetime.now()
        self._put(trial, **new)
        return True

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Record a value that a trial has reported."""
        trial = self._updatable(trial_id)
        self._database.set_trial_intermediate_value(trial_id, step, intermediate_value)
        values = {**trial.intermediate_values, step: intermediate_value}
        self._put(trial, intermediate_values=values)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        trial = self._updatable(trial_id)
        with self.together():
            self._database.set_trial_user_attr(trial_id, key, value)
        self._put(trial, user_attrs={**trial.user_attrs, key: as_read(value)})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one of Optuna's own attributes of a trial."""
        trial = self._updatable(trial_id)
        with self.together():
            self._database.set_trial_system_attr(trial_id, key, value)
        self._put(trial, system_attrs={**trial.system_attrs, key: as_read(value)})

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Id of a trial by its number."""
        trials = self._study(study_id).trials
        if not 0 <= trial_number < len(trials):
            raise KeyError(f"there is no trial {trial_number}")
        return id_of_trial(trials[trial_number])

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial by its id; KeyError if there is none."""
        if trial_id not in self._study_and_number:
            for study in self.get_all_studies():
                self._study(id_of_study(study))
        if trial_id not in self._study_and_number:
            raise KeyError(f"there is no trial with id {trial_id}")
        study_id, number = self._study_and_number[trial_id]
        return self._study(study_id).trials[number]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Trials of a study, oldest first."""
        trials = self._study(study_id).trials
        found = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def remove_session(self) -> None:
        """Release the connection to the database."""
        self._database.remove_session()

    def _study(self, study_id: int) -> _LoadedStudy:
        if study_id not in self._studies:
            read = self._database
            known = _LoadedStudy(
                name=read.get_study_name_from_id(study_id),
                directions=read.get_study_directions(study_id),
                user_attrs=read.get_study_user_attrs(study_id),
                system_attrs=read.get_study_system_attrs(study_id),
                trials=[self._screened(t) for t in read.get_all_trials(study_id, deepcopy=False)],
            )
            self._studies[study_id] = known
            for trial in known.trials:
                self._study_and_number[id_of_trial(trial)] = study_id, trial.number
                known.distributions = trial.distributions | known.distributions
        return self._studies[study_id]

    def _forget(self) -> None:
        """Forget what was read, so that everything is read again."""
        self._studies.clear()
        self._study_and_number.clear()

    def _updatable(self, trial_id: int) -> FrozenTrial:
        trial = self.get_trial(trial_id)
        self.check_trial_is_updatable(trial_id, trial.state)
        return trial

    def _put(self, trial: FrozenTrial, **new: Any) -> None:
        study_id, number = self._study_and_number[id_of_trial(trial)]
        changed = copy.copy(trial)
        for name, value in new.items():
            setattr(changed, name, value)
        self._studies[study_id].trials[number] = changed


def together(study: optuna.Study | BaseStorage) -> AbstractContextManager[None]:
    """Write to a study, or a storage, in one transaction if that is a `SingleWriterStorage`."""
    storage = study if isinstance(study, BaseStorage) else storage_of(study)
    return storage.together() if isinstance(storage, SingleWriterStorage) else nullcontext()


def _copy_as_read(template: FrozenTrial) -> FrozenTrial:
    trial = copy.deepcopy(template)
    trial.user_attrs = as_read(trial.user_attrs)
    trial.system_attrs = as_read(trial.system_attrs)
    return trial


def _as_it_is(trial: FrozenTrial) -> FrozenTrial:
    return trial


def _blank() -> FrozenTrial:
    trial = optuna.trial.create_trial(state=TrialState.RUNNING)
    trial.datetime_start = datetime.now()
    return trial
