"""Finals on the tracking server: a run `finalize` under the study's, one run a config, one a seed.

All of it goes through the journal of the study, so an outage loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from mmsr.finalize import DONE
from mmsr.finalize.request import DEVELOPMENT, FinalPlan
from mmsr.study.driver.reporting import TrackedStudy
from mmsr.study.planning.plan import Plan
from mmsr.study.results.finalized import ConfigFigures, FinalRecord
from mmsr.study.storage.known_study import (
    SHIP_SECONDS,
    STUDY,
    KnownStudy,
    close_study,
    open_journal,
)
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import RunState
from mmsr.tracking.base import ERROR_TAG, TRACEBACK_TAG
from mmsr.tracking.shipper import JournalTracker

if TYPE_CHECKING:
    import optuna

FINALIZE = "finalize"
RESULT_STEP = 0
"""Step of what test says of a run: its epochs are the steps from 1 on."""


class TrackedFinals(TrackedStudy):
    """Observer that notes the runs of finals; see `TrackedStudy`."""

    def _open(self, uid: str) -> None:
        plan = cast(FinalPlan, self._plan)
        known = plan.study
        self._keys: dict[str, str] = {}
        self._tags |= {"mmsr.study": known.name, "mmsr.objective": known.definition.objective}
        self._tracker.open_run(STUDY, f"study {known.name}")
        self._tracker.open_run(
            FINALIZE,
            "finalize",
            parent=STUDY,
            tags={
                **self._tags,
                "mmsr.kind": "finalize",
                "mmsr.trials": " ".join(str(one.number) for one in plan.chosen),
                "mmsr.seeds": " ".join(map(str, plan.seeds)),
            },
            data=self._data,
        )
        for one in plan.chosen:
            self._tracker.open_run(
                config_key(one.number),
                f"trial {one.number}, all seeds",
                parent=FINALIZE,
                params={
                    key: value
                    for key, value in one.config.flat().items()
                    if key not in ("seed", "graph.seed", "training.threads")
                },
                tags={
                    **self._tags,
                    "mmsr.kind": "final config",
                    "mmsr.optuna_number": str(one.number),
                },
                data=self._data,
            )

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """A run was handed to the runner."""
        settings = proposal.settings
        refit = settings["part"] == DEVELOPMENT
        self._keys[proposal.key] = run_key(settings)
        self._tracker.open_run(
            run_key(proposal.settings),
            f"{'refit' if refit else 'validation'}, seed {settings['seed']}",
            parent=config_key(settings["trial"]),
            params=proposal.config.flat() | {"part": settings["part"]},
            tags={
                **self._tags,
                "mmsr.kind": "refit" if refit else "reseeded",
                "mmsr.optuna_number": str(settings["trial"]),
                "mmsr.ray_trial_id": runner_id,
            },
            data=self._data,
        )

    def reported(self, proposal: Proposal, report: Report) -> None:
        """A run has finished an epoch."""
        metrics = {name: value for name, value in report.metrics.items() if name != DONE}
        self._tracker.log(run_key(proposal.settings), report.epoch, metrics)

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """A run's worker died, and the run goes on."""
        self._tracker.tag(run_key(proposal.settings), {"mmsr.recovered": reason})

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """A run is over; refits are kept with their model."""
        tags: dict[str, str] = {}
        if ending.error:
            tags |= {ERROR_TAG: ending.error, TRACEBACK_TAG: ending.traceback or ""}
        key, finished = run_key(proposal.settings), ending.state is RunState.FINISHED
        if finished and ending.report is not None and proposal.settings["part"] != DEVELOPMENT:
            best = ending.report.best_metrics.items()
            metrics = {f"best/{name}": value for name, value in best if name.startswith("valid/")}
            self._tracker.log(key, RESULT_STEP, metrics)
        if finished and proposal.settings["part"] == DEVELOPMENT:
            self._upload(proposal, key)
        self._tracker.close_run(key, ending.state, tags)

    def run_id(self, key: str) -> str | None:
        """The server's id of a run by the proposal's key, once it is known."""
        return self._tracker.run_id(self._keys[key]) if key in self._keys else None

    def close(self, state: RunState, error: str | None, tags: Mapping[str, str]) -> None:
        """The driver has run what there was to run; results are still to come."""
        plan = cast(FinalPlan, self._plan)
        if state is not RunState.FINISHED:
            for key in (*(config_key(one.number) for one in plan.chosen), FINALIZE):
                self._tracker.close_run(key, state, {ERROR_TAG: error} if error else {})
        close_study(self._tracker, plan.study)


def config_key(trial: int) -> str:
    """Key of the run that stands for all seeds of a trial's config."""
    return f"{FINALIZE}/config-{trial:05d}"


def run_key(settings: Mapping[str, Any]) -> str:
    """Key of one run."""
    return f"{config_key(settings['trial'])}/seed-{settings['seed']}-{settings['part']}"


def journal_of_finals(
    plan: Plan, study: optuna.Study, notice: Callable[[str], None]
) -> JournalTracker:
    """The journal that the runs of finals are noted in: that of the study itself."""
    return open_journal(cast(FinalPlan, plan).study, notice)


def note_results(known: KnownStudy, record: FinalRecord, files: Sequence[str]) -> int:
    """Note what test said; returns the events that could not be shipped.

    Test metrics are means over seeds, `…_std` their standard deviation, `…_low` and `…_high` the
    interval over users; those of the run `finalize` are of the config that validation had chosen.
    """
    result = record.result
    if result is None:
        return 0
    tracker = open_journal(known)
    opened = {"mmsr.test_opened": str(len(record.opened))}
    tracker.open_run(STUDY, f"study {known.name}")
    tracker.open_run(FINALIZE, "finalize", parent=STUDY)
    step = len(record.opened)
    for config in result.configs:
        key = config_key(config.trial)
        tracker.open_run(key, f"trial {config.trial}, all seeds", parent=FINALIZE)
        for one in config.seeds:
            if one.error is None:
                run = {"trial": config.trial, "seed": one.seed, "part": DEVELOPMENT}
                tracker.log(run_key(run), RESULT_STEP, one.metrics)
        tracker.log(key, step, _metrics(config))
        tracker.close_run(key, RunState.FINISHED, {"mmsr.epochs": str(config.epochs)})
    tracker.log(FINALIZE, step, _metrics(result.best))
    tracker.upload(FINALIZE, known.folder.path, files)
    tracker.close_run(
        FINALIZE, RunState.FINISHED, {**opened, "mmsr.best_trial": str(result.best.trial)}
    )
    close_study(tracker, known, opened)
    return tracker.close(SHIP_SECONDS)


def _metrics(config: ConfigFigures) -> dict[str, float]:
    found = dict(config.mean)
    for ending, values in {"std": config.std, "low": config.low, "high": config.high}.items():
        found |= {f"{name}_{ending}": value for name, value in values.items()}
    if config.optimism is not None:
        found |= {
            "optimism/selected": config.optimism.selected,
            "optimism/reseeded": config.optimism.mean,
            "optimism/luck": config.optimism.luck,
        }
    return found
