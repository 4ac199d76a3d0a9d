"""What to finalize: configs and seeds, and the runs that follow, as a study of their own.

That study is named after the finalized one, with `/finalize-…` appended, is stored beside it, and
runs only its enqueued settings. So its runs are resumed, retried and distributed like any trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmsr.config import Config
from mmsr.data.closed import refuse_in_trial
from mmsr.data.held_out import check_test
from mmsr.dimensions.kinds import Choice, Int
from mmsr.errors import UserError
from mmsr.finalize import DONE
from mmsr.format import plural
from mmsr.study.planning.plan import Plan
from mmsr.study.planning.site import check_home, find_site
from mmsr.study.results.finalized import FinalFolder, final_record, finals_name
from mmsr.study.search.space import Space, stored
from mmsr.study.storage.definition import TRAINER, Definition
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.progress import Extent
from mmsr.study.storage.trials import TrialRow, finished
from mmsr.study.workers.resources import read_resources

if TYPE_CHECKING:
    import optuna

MOST_SEED = 2**32 - 1
DEVELOPMENT, TRAIN = "development", "train"
"""Part that a run trains on: refits on train + validation, runs for the optimism on train only."""
SPACE: Space = {
    "trial": Int(0, 10**9),
    "seed": Int(0, MOST_SEED),
    "part": Choice(DEVELOPMENT, TRAIN),
}
_TRAINERS = {
    DEVELOPMENT: "mmsr.finalize.training:refit",
    TRAIN: "mmsr.finalize.training:reseed",
}


@dataclass(frozen=True)
class Chosen:
    """A config that was chosen on validation."""

    row: TrialRow
    config: Config

    @property
    def number(self) -> int:
        """Number of the trial that had this config."""
        return self.row.number

    @property
    def epochs(self) -> int:
        """The trial's best epoch."""
        return self.row.best_epoch or 1


@dataclass(frozen=True, kw_only=True)
class FinalPlan(Plan):
    """The final runs of a study, checked and complete."""

    study: KnownStudy
    """The finalized study."""
    chosen: tuple[Chosen, ...]
    """Best first."""
    seeds: tuple[int, ...]
    optimism: bool
    """Whether there are also runs on the training part, to measure the optimism."""
    trials_over: int
    trials_wanted: int

    def recorded_in(self, study: optuna.Study) -> KnownStudy:
        """The finalized study: the final runs are recorded below its own run."""
        return self.study

    @property
    def training_seconds(self) -> float:
        """Estimated seconds of training of all runs, from the times of their trials."""
        per_seed = sum(
            (one.row.seconds or 0.0) * (one.epochs / max(one.row.epochs, 1) + self.optimism)
            for one in self.chosen
        )
        return per_seed * len(self.seeds)

    def of_trial(self, number: int) -> Chosen:
        """The chosen config of trial `number`."""
        return next(one for one in self.chosen if one.number == number)

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """The chosen config with another seed, also for codes; refits train to its best epoch."""
        one, seed = self.of_trial(settings["trial"]), settings["seed"]
        changes = {"seed": seed, "graph.seed": seed, "training.threads": self.resources.threads}
        if settings["part"] == DEVELOPMENT:
            changes["training.epochs"] = one.epochs
        return one.config.replace(changes)

    def trainer_of(self, settings: Mapping[str, Any]) -> str:
        """Import path of the trainer for the part that a run trains on."""
        return _TRAINERS[settings["part"]]


def make_final_plan(
    known: KnownStudy,
    *,
    top: int = 1,
    trials: Sequence[int] = (),
    n_seeds: int = 3,
    first_seed: int | None = None,
    optimism: bool = True,
    resources: Mapping[str, float] | None = None,
    address: str | None = None,
    force: bool = False,
) -> FinalPlan:
    """Choose configs and seeds, and check that their runs can be scheduled.

    Parameters
    ----------
    known : the study.
    top : number of best trials by validation.
    trials : numbers of the trials to take instead.
    n_seeds : runs of each config. None of them has the trial's own seed, which was lucky.
    first_seed : seed of the first run; None takes the one after the trials' own.
    optimism : also train on the training part only, which about doubles the cost.
    resources : what each run gets; None takes what the study's trials got.
    address : Ray cluster to join.
    force : also finalize a study that still has trials to run.

    Raises
    ------
    UserError : the study has trials to run or a trainer of its own, fewer than `top` of its trials
        have finished, the data set has other contents or no test part, the study's epochs were
        chosen on test, or this is a trial's process.
    """
    refuse_in_trial()
    known.check_honest()
    for name, number in (("--seeds", n_seeds), ("--top", top)):
        if number < 1:
            raise UserError(f"{name} {number}: give a whole number of at least 1")
    if known.definition.has_own_trainer:
        raise UserError(
            f"study {known.name!r} has a trainer of its own, {known.definition.trainer}, but "
            f"refits are by {TRAINER}: their test figures would not be those of its trials; refit "
            "its best config with that trainer, and open test by `mmsr.data.held_out.open_test`"
        )
    chosen = _choose(known, top, trials)
    progress = known.overview.extent
    if not (force or progress.is_over):
        raise UserError(_unfinished(known, progress))
    check_home()
    check_test(dataset := known.open_dataset())
    seeds = _seeds(chosen, n_seeds, first_seed)
    record = known.folder.read_record()
    site = find_site(
        dataset,
        read_resources(resources or (record.resources if record else None) or {"cpu": 1}),
        storage=known.storage,
        tracking=known.tracking,
        address=address,
    )
    parts = (DEVELOPMENT, TRAIN) if optimism else (DEVELOPMENT,)
    runs = [
        {"trial": one.number, "seed": seed, "part": part}
        for part in parts
        for seed in seeds
        for one in chosen
    ]
    definition = known.definition
    return FinalPlan(
        name=finals_name(known),
        folder=FinalFolder(known.folder),
        site=site,
        base=chosen[0].config.replace({"training.threads": site.resources.threads}),
        space=SPACE,
        objective=DONE,
        only=tuple(stored(SPACE, run) for run in runs),
        trials=len(runs),
        definition=Definition(
            dataset=definition.dataset,
            dataset_hash=definition.dataset_hash,
            protocol=definition.protocol,
            objective=DONE,
            pruner=str(None),
            space={key: str(dimension) for key, dimension in SPACE.items()},
            config={},
        ),
        study=known,
        chosen=chosen,
        seeds=seeds,
        optimism=optimism,
        trials_over=progress.over,
        trials_wanted=progress.wanted,
    )


def _choose(known: KnownStudy, top: int, trials: Sequence[int]) -> tuple[Chosen, ...]:
    """The best finished trials by validation, or the named ones, best first.

    There may be fewer than `top` once test is open: older versions opened it for those there were.
    """
    found = known.overview.standings
    numbers = [one.number for one in finished(found, known.definition.objectives)]
    if not numbers:
        raise UserError(
            f"study {known.name!r} has no finished trial yet: see `mmsr study status {known.name}`"
        )
    for number in trials:
        if number not in numbers:
            state = next((row.state for row in found if row.number == number), "not there")
            raise UserError(
                f"--trial {number}: it is {state}; name one that has finished: "
                f"{', '.join(map(str, numbers[:10]))}"
            )
    chosen: list[Chosen] = []
    for number in numbers:
        if number in trials if trials else len(chosen) < top:
            (row,) = known.rows([number])
            if row.config is not None and row.config not in [one.config for one in chosen]:
                chosen.append(Chosen(row, row.config))
    if not trials and len(chosen) < top and not final_record(known).opened:
        raise UserError(
            f"--top {top}: study {known.name!r} has {plural(len(chosen), 'finished config')}, so "
            f"give at most --top {len(chosen)}, or run more trials first"
        )
    return tuple(chosen)


def _unfinished(known: KnownStudy, progress: Extent) -> str:
    """Why a study with trials left to run is not finalized, and what to do."""
    record = known.folder.read_record()
    if known.folder.is_running():
        way = "wait until it ends"
    elif record is None:
        way = "finish it by running its file again"
    else:
        where = f" (in {record.directory})" if record.directory else ""
        way = f"finish it with `{record.command}`{where}"
    wanted, are = plural(progress.wanted, "trial"), "is" if progress.wanted == 1 else "are"
    return (
        f"study {known.name!r} is not finished: {progress.over} of {wanted} {are} done, so its "
        f"best may change, and test is best opened once: {way}, or give --force to finalize it as "
        "it is"
    )


def _seeds(chosen: Sequence[Chosen], n_seeds: int, first: int | None) -> tuple[int, ...]:
    """Seeds that none of the trials had."""
    if first is None:
        first = max(one.config.seed for one in chosen) + 1
    if first + n_seeds - 1 > MOST_SEED:
        first = 0
    return tuple(range(first, first + n_seeds))
