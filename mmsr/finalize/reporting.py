"""The final runs on the tracking server.

The study's run contains a run `finalize`, which contains a run for each config, which contains one
for each seed. Everything goes through the study's journal, so an outage loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmsr.config import Config
from mmsr.finalize import DONE
from mmsr.finalize.champion import ALIAS, Champion
from mmsr.finalize.request import DEVELOPMENT, Chosen, FinalPlan
from mmsr.format import plural
from mmsr.study.driver.reporting import data_of, tags_of, upload_model
from mmsr.study.results.finalized import ConfigFigures, FinalRecord, read_final
from mmsr.study.storage.definition import Definition
from mmsr.study.storage.known_study import (
    SHIP_SECONDS,
    STUDY,
    KnownStudy,
    close_study,
    open_journal,
)
from mmsr.study.storage.progress import Progress
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.run_names import SEPARATOR, numbered, params_of, run_name, varied_in
from mmsr.study.workers.messages import Ending, Proposal, Report
from mmsr.tracking import RunState, Tracker, Unshipped
from mmsr.tracking.base import ERROR_TAG, NOTE_TAG, TRACEBACK_TAG

FINALIZE = "finalize"
RESULT_STEP = 0
"""Step of a run's test metrics; steps from 1 on are its epochs."""
_OF_SEEDS = ("seed", "graph.seed", "training.threads")
"""Config keys in which the seeds of a config differ."""


class FinalsReporter:
    """Reports the final runs below the run `finalize` of the finalized study.

    Parameters
    ----------
    plan : the final runs.
    tracker : where to record them.
    closing : close the runs of configs with the driver: no results follow.
    """

    def __init__(self, plan: FinalPlan, tracker: Tracker, *, closing: bool = False) -> None:
        self._plan, self._tracker, self._closing = plan, tracker, closing
        self._keys: dict[str, str] = {}
        """Key of a run on the server, by the proposal's key."""
        definition = plan.study.definition
        self._tags = tags_of(plan.study.name, definition) | {"mmsr.objective": definition.objective}
        self._data = data_of(plan)
        tracker.open_run(STUDY, f"study {plan.study.name}", resume=False)
        tracker.open_run(
            FINALIZE,
            "finalize",
            parent=STUDY,
            tags={
                **self._tags,
                NOTE_TAG: finals_text(plan),
                "mmsr.kind": "finalize",
                "mmsr.trials": " ".join(str(one.number) for one in plan.chosen),
                "mmsr.seeds": " ".join(map(str, plan.seeds)),
            },
            data=self._data,
        )
        for one in plan.chosen:
            self._open_config(one)

    def _open_config(self, one: Chosen) -> None:
        definition = self._plan.study.definition
        self._tracker.open_run(
            config_key(one.number),
            config_name(definition, one.row, one.config),
            parent=FINALIZE,
            params=_params(definition, one.row, one.config),
            tags={
                **self._tags,
                "mmsr.kind": "final config",
                "mmsr.optuna_number": str(one.number),
            },
            data=self._data,
        )

    def started(self, proposal: Proposal, runner_id: str) -> None:
        """Open the run of a refit or reseeded trial that was handed to the runner."""
        settings = proposal.settings
        refit = settings["part"] == DEVELOPMENT
        self._keys[proposal.key] = run_key(settings)
        self._tracker.open_run(
            run_key(settings),
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
        """Log the metrics of an epoch."""
        metrics = {name: value for name, value in report.metrics.items() if name != DONE}
        self._tracker.log(run_key(proposal.settings), report.epoch, metrics)

    def recovered(self, proposal: Proposal, reason: str) -> None:
        """Tag a run with the reason why its worker died; it resumes on another one."""
        self._tracker.tag(run_key(proposal.settings), {"mmsr.recovered": reason})

    def ended(self, proposal: Proposal, ending: Ending) -> None:
        """Close a run, with its error; the model of a refit is uploaded."""
        tags: dict[str, str] = {}
        if ending.error:
            tags |= {ERROR_TAG: ending.error, TRACEBACK_TAG: ending.traceback or ""}
        key, finished = run_key(proposal.settings), ending.state is RunState.FINISHED
        if finished and ending.report is not None and proposal.settings["part"] != DEVELOPMENT:
            best = ending.report.best_metrics.items()
            metrics = {f"best/{name}": value for name, value in best if name.startswith("valid/")}
            self._tracker.log(key, RESULT_STEP, metrics)
        if finished and proposal.settings["part"] == DEVELOPMENT:
            upload_model(self._tracker, self._plan, proposal, key)
        self._tracker.close_run(key, ending.state, tags)

    def run_id(self, key: str) -> str | None:
        """The server's id of the run with this proposal's key, or None while it is unknown."""
        return self._tracker.run_id(self._keys[key]) if key in self._keys else None

    def close(self, state: RunState, error: str | None, after: Progress) -> None:
        """Close the runs of configs unless the driver finished: then results are still to come."""
        if self._closing or state is not RunState.FINISHED:
            for key in (*(config_key(one.number) for one in self._plan.chosen), FINALIZE):
                self._tracker.close_run(key, state, {ERROR_TAG: error} if error else {})
        close_study(self._tracker, self._plan.study)


def config_name(definition: Definition, row: TrialRow, config: Config) -> str:
    """Name of the run that contains all seeds of a trial's config.

    Parameters
    ----------
    definition : the study's.
    row, config : the trial, and its config.
    """
    name = run_name(config, row.settings, model=bool(definition.models))
    return f"{numbered(name, row.number)}{SEPARATOR}all seeds"


def finals_text(plan: FinalPlan) -> str:
    """What the final runs are, in Markdown.

    Parameters
    ----------
    plan : the final runs.
    """
    trials = ", ".join(str(one.number) for one in plan.chosen)
    return (
        f"Refits of trial{'s' * (len(plan.chosen) > 1)} {trials} of study "
        f"**{plan.study.name}** on train + validation with {plural(len(plan.seeds), 'seed')}, "
        "ranked once on test."
    )


def config_key(trial: int) -> str:
    """Key of the run that contains all seeds of the config of `trial`."""
    return f"{FINALIZE}/config-{trial:05d}"


def run_key(settings: Mapping[str, Any]) -> str:
    """Key of the run with the given settings (`trial`, `seed` and `part`)."""
    return f"{config_key(settings['trial'])}/seed-{settings['seed']}-{settings['part']}"


def report_results(
    known: KnownStudy,
    record: FinalRecord,
    files: Sequence[str],
    champion: Champion | None = None,
) -> Unshipped:
    """Record the test results; returns what could not be shipped.

    Test metrics are means over seeds; `…_std` is their standard deviation, `…_low` and `…_high`
    bound the interval over users. The metrics of the run `finalize` are those of the config that
    was best on validation.

    Parameters
    ----------
    known : the finalized study.
    record : its record.
    files : names of files in its folder to upload.
    champion : the winner's model, to register under the study's name.
    """
    result = record.result
    if result is None:
        return Unshipped()
    tracker = open_journal(known)
    opened = {"mmsr.test_opened": str(len(record.opened))}
    tracker.open_run(STUDY, f"study {known.name}", resume=False)
    row, best = known.best(result.best.trial)
    first = len(record.opened) == 1  # params cannot be changed, and later openings may differ
    tracker.open_run(
        FINALIZE,
        "finalize",
        parent=STUDY,
        params=_params(known.definition, row, best) if first else None,
    )
    step = len(record.opened)
    for config in result.configs:
        key = config_key(config.trial)
        name = config_name(known.definition, *known.best(config.trial))
        tracker.open_run(key, name, parent=FINALIZE)
        for one in config.seeds:
            if one.error is None:
                run = {"trial": config.trial, "seed": one.seed, "part": DEVELOPMENT}
                tracker.log(run_key(run), RESULT_STEP, one.metrics)
        tracker.log(key, step, _metrics(config))
        tracker.close_run(key, RunState.FINISHED, {"mmsr.epochs": str(config.epochs)})
    tracker.log(FINALIZE, step, _metrics(result.best))
    tracker.upload(FINALIZE, known.folder.path, files)
    if champion is not None:
        tracker.register_model(
            FINALIZE,
            champion.folder,
            name=known.name,
            alias=ALIAS,
            digest=champion.digest,
            description=champion.description,
            tags=champion.tags,
        )
    tracker.close_run(
        FINALIZE, RunState.FINISHED, {**opened, "mmsr.best_trial": str(result.best.trial)}
    )
    close_study(tracker, known, opened)
    return tracker.close(SHIP_SECONDS)


def _params(definition: Definition, row: TrialRow, config: Config) -> dict[str, Any]:
    found = params_of(config, row.settings, varied_in(definition, config.model.name))
    return {key: value for key, value in found.items() if key not in _OF_SEEDS}


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


def about_test(known: KnownStudy) -> dict[str, Any]:
    """What a notice says of a finalized study: the best config and its test figures.

    Parameters
    ----------
    known : the study.
    """
    told: dict[str, Any] = {"study": known.name, "dataset": known.definition.dataset}
    if (result := read_final(known.folder.finalized).result) is not None:
        best = result.best
        told["test"] = {"trial": best.trial, "mean": best.mean, "seeds": list(result.seeds)}
    return told
