"""What is to be finalised: configs, seeds, and the runs that they take as a study of their own.

That study has the name of the other with `/finalize-…` behind it, in the same storage, and runs
only what is enqueued: so its runs survive what trials survive, and use the cluster as they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mmsr.config import Config
from mmsr.data import check_test
from mmsr.errors import UserError
from mmsr.finalize import DONE
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.planning.plan import Plan, make_plan
from mmsr.study.search.dimensions import Choice, Int
from mmsr.study.search.space import Space, stored
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.progress import counted, is_over, target
from mmsr.study.storage.trials import TrialRow, ranked, rows

MOST_SEED = 2**32 - 1
DEVELOPMENT, TRAIN = "development", "train"
"""What a run trains on: refits on both parts, the runs for the optimism line on the first alone."""
SPACE: Space = {
    "trial": Int(0, 10**9),
    "seed": Int(0, MOST_SEED),
    "part": Choice(DEVELOPMENT, TRAIN),
}
_TRAINERS = {
    DEVELOPMENT: "mmsr.finalize.training:refit",
    TRAIN: "mmsr.finalize.training:reseed",
}


class FinalFolder(StudyFolder):
    """Folder of a study's finals, inside its own."""

    def __init__(self, study: StudyFolder) -> None:
        self.name = f"{study.name}/finalize"
        self.path = study.path / "finalize"


@dataclass(frozen=True)
class Chosen:
    """A config that validation has chosen."""

    row: TrialRow
    config: Config

    @property
    def number(self) -> int:
        """The trial that it comes from."""
        return self.row.number

    @property
    def epochs(self) -> int:
        """The trial's best epoch."""
        return self.row.best_epoch or 1


@dataclass(frozen=True, kw_only=True)
class FinalPlan(Plan):
    """The runs of a study's finals, checked and complete."""

    known: tuple[Mapping[str, Any], ...] = ()
    """None is tried first: what is to be run is in `only`."""
    study: KnownStudy
    """The study that is finalised."""
    chosen: tuple[Chosen, ...]
    """Best first."""
    seeds: tuple[int, ...]
    optimism: bool
    """Whether runs on the training part are among the runs."""
    trials_over: int
    trials_wanted: int

    @property
    def unfinished(self) -> bool:
        """Whether the study itself has trials left."""
        return not is_over(self.study.study)

    @property
    def training_seconds(self) -> float:
        """What the runs take, going by the trials."""
        per_seed = sum(
            (one.row.seconds or 0.0) * (one.epochs / max(one.row.epochs, 1) + self.optimism)
            for one in self.chosen
        )
        return per_seed * len(self.seeds)

    def of_trial(self, number: int) -> Chosen:
        """The config of a trial."""
        return next(one for one in self.chosen if one.number == number)

    def config_of(self, settings: Mapping[str, Any]) -> Config:
        """A chosen config with another seed, of its codes too; a refit takes the best epoch's."""
        one, seed = self.of_trial(settings["trial"]), settings["seed"]
        changes = {"seed": seed, "graph.seed": seed, "training.threads": self.resources.threads}
        if settings["part"] == DEVELOPMENT:
            changes["training.epochs"] = one.epochs
        return one.config.replace(changes)

    def trainer_of(self, settings: Mapping[str, Any]) -> str:
        """The trainer of the part that a run trains on."""
        return _TRAINERS[settings["part"]]


def make_final_plan(
    known: KnownStudy,
    *,
    top: int = 1,
    trials: Sequence[int] = (),
    n_seeds: int = 3,
    optimism: bool = True,
    resources: Mapping[str, float] | None = None,
    address: str | None = None,
) -> FinalPlan:
    """Choose configs and seeds, and check that their runs can be scheduled.

    Parameters
    ----------
    known : the study.
    top : so many of the best trials by validation.
    trials : these trials instead.
    n_seeds : runs of each config. The seeds are new ones: of the trial's own it is known that it
        was lucky.
    optimism : train on the training part alone as well, which about doubles the cost.
    resources : what each run gets; None stands for what the study's trials got.
    address : Ray cluster.

    Raises
    ------
    UserError : no finished trial, other data, no test part, or the study was chosen on test.
    """
    known.check_honest()
    for name, number in (("--seeds", n_seeds), ("--top", top)):
        if number < 1:
            raise UserError(f"{name} {number}: give a whole number of at least 1")
    chosen = _choose(known, top, trials)
    check_test(known.open_dataset())
    seeds = _seeds(chosen, n_seeds)
    record = known.folder.read_record()
    base = {
        key: value
        for key, value in chosen[0].config.flat().items()
        if key not in ("dataset", "training.select_by", "training.threads")
    }
    plan = make_plan(
        Declaration(
            dataset=known.definition.dataset,
            objective=known.definition.objective,
            space={"seed": Int(0, MOST_SEED)},
            base=base,
            enqueue=[{}],
            only_enqueued=True,
            pruner=None,
            resources=resources or (record.resources if record else None) or {"cpu": 1},
        ),
        Options(
            name=known.name, storage=known.storage, tracking_uri=known.tracking, address=address
        ),
    )
    parts = (DEVELOPMENT, TRAIN) if optimism else (DEVELOPMENT,)
    runs = [
        {"trial": one.number, "seed": seed, "part": part}
        for part in parts
        for seed in seeds
        for one in chosen
    ]
    over, wanted = len(counted(known.study)), target(known.study) or 0
    given = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return FinalPlan(
        **{
            **given,
            "name": f"{known.name}/finalize-{study_uid(known.study)[:8]}",
            "folder": FinalFolder(known.folder),
            "space": SPACE,
            "objective": DONE,
            "known": (),
            "only": tuple(stored(SPACE, run) for run in runs),
            "trials": len(runs),
            "definition": plan.definition.model_copy(
                update={
                    "objective": DONE,
                    "space": {key: str(dimension) for key, dimension in SPACE.items()},
                    "config": {},
                }
            ),
            "study": known,
            "chosen": chosen,
            "seeds": seeds,
            "optimism": optimism,
            "trials_over": over,
            "trials_wanted": wanted,
        }
    )


def _choose(known: KnownStudy, top: int, trials: Sequence[int]) -> tuple[Chosen, ...]:
    """The best finished trials by validation, or those that are named, best first."""
    found = rows(known.study)
    finished = [row for row in ranked(found) if row.state == "finished" and row.config is not None]
    if not finished:
        raise UserError(
            f"study {known.name!r} has no finished trial yet: see `mmsr study status {known.name}`"
        )
    for number in trials:
        if number not in {row.number for row in finished}:
            state = next((row.state for row in found if row.number == number), "not there")
            raise UserError(
                f"--trial {number}: it is {state}; name one that has finished: "
                f"{', '.join(str(row.number) for row in finished[:10])}"
            )
    chosen: list[Chosen] = []
    for row in finished:
        wanted = row.number in trials if trials else len(chosen) < top
        if wanted and row.config is not None and row.config not in [one.config for one in chosen]:
            chosen.append(Chosen(row, row.config))
    return tuple(chosen)


def _seeds(chosen: Sequence[Chosen], n_seeds: int) -> tuple[int, ...]:
    """Seeds that none of the trials had."""
    first = max(one.config.seed for one in chosen) + 1
    if first + n_seeds - 1 > MOST_SEED:
        first = 0
    return tuple(range(first, first + n_seeds))
