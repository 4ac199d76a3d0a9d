"""What is run next: what waits in the queue, or what the search method proposes; nothing twice.

Two trials are the same when their whole configs are. In a finite space a method that keeps
proposing what was run is given the next setting that was not; when none is left, the study is at
its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState

from mmsr.config import Config
from mmsr.errors import UserError
from mmsr.remote import AnyPath
from mmsr.study.search.space import Space, all_settings, apply, is_finite, propose, stored
from mmsr.study.storage.lineage import newest_checkpoint
from mmsr.study.workers.messages import Proposal

REPEATS = 10
"""So many repeats in a row end the search method's say."""
_MOST_INVALID = 100


class Exhausted(Exception):
    """Every setting of the space has been run, or is under way."""


class Proposals:
    """The trials of a study, one after the other.

    Parameters
    ----------
    study : the Optuna study.
    space, base : what is varied, and the config that it is varied on.
    checkpoints : folder with one sub-folder a trial.
    only : the settings that may be run, as Optuna keeps them; None where any may.
    systematic : go through the space setting by setting rather than sample it.
    config_of : makes a config of settings; None applies them to `base`.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        base: Config,
        checkpoints: AnyPath,
        *,
        only: Sequence[Mapping[str, Any]] | None = None,
        systematic: bool = False,
        config_of: Callable[[Mapping[str, Any]], Config] | None = None,
    ) -> None:
        self._study, self._space, self._base = study, space, base
        self._checkpoints, self._only, self._systematic = checkpoints, only, systematic
        self._config_of = config_of or (lambda settings: apply(base, settings))
        self._seen = {
            _identity(Config.from_dict(trial.user_attrs["config"])): trial.number
            for trial in study.get_trials(deepcopy=False)
            if "config" in trial.user_attrs
        }
        self._settings: Iterator[dict[str, Any]] = iter(())
        if only is None and is_finite(space):
            self._settings = all_settings(space, base)

    def take(self) -> tuple[optuna.Trial, Proposal]:
        """The next trial: a queued one, or a new proposal.

        Raises
        ------
        Exhausted : the space is finite, and nothing is left of it.
        UserError : the space gives hardly any valid config.
        """
        problem, repeats = "", 0
        waiting = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        for attempt in range(_MOST_INVALID + waiting):
            if attempt >= waiting and (self._systematic or repeats >= REPEATS):
                self._queue_unseen()
            trial = self._study.ask()
            settings = propose(trial, self._space, self._base)
            try:
                proposal = self._proposal(trial, settings)
            except UserError as error:
                problem = str(error)
            else:
                identity = _identity(proposal.config)
                same = self._seen.setdefault(identity, trial.number)
                if same == trial.number or self._only is not None or proposal.origin == "retry":
                    return trial, proposal
                problem = f"the same as trial {same}"
                repeats += 1
            trial.set_user_attr("invalid", problem)
            self._study.tell(trial, state=TrialState.FAIL)
        raise UserError(
            f"space: {_MOST_INVALID} proposals in a row were no new valid config ({problem}): "
            "widen or mend the space"
        )

    def _queue_unseen(self) -> None:
        """Enqueue the next setting of a finite space that makes a valid config not seen yet."""
        for settings in self._settings:
            try:
                config = apply(self._base, settings)
            except UserError:
                continue
            if _identity(config) not in self._seen:
                kept = stored(self._space, settings)
                self._study.enqueue_trial(kept, user_attrs={"origin": "proposed"})
                return
        if is_finite(self._space):
            raise Exhausted

    def _proposal(self, trial: optuna.Trial, settings: dict[str, Any]) -> Proposal:
        if self._only is not None and stored(self._space, settings) not in self._only:
            raise UserError("not asked for")
        attrs = trial.user_attrs
        retry_of, config = attrs.get("retry_of"), attrs.get("config")
        left = None
        if retry_of is not None:
            left = newest_checkpoint(self._study, retry_of, self._checkpoints)
        return Proposal(
            number=trial.number,
            key=attrs.get("key", f"trial-{trial.number:05d}"),
            config=Config.from_dict(config) if config else self._config_of(settings),
            settings=settings,
            origin=attrs.get("origin", "proposed"),
            checkpoint=left.folder if left else None,
            curve=left.curve if left else {},
        )


def _identity(config: Config) -> str:
    """What two equal configs have in common; the number of threads follows the machine."""
    flat = {
        key: float(f"{value:.12g}") if isinstance(value, float) else value
        for key, value in config.flat().items()
        if key != "training.threads"
    }
    return json.dumps(flat, sort_keys=True)
