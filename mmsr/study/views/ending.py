"""The screen at the end of a study: how its trials ended, the best ones, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mmsr.config import Config
from mmsr.config.models import DEFAULT, model_class
from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.format import listed
from mmsr.study.planning.plan import Plan
from mmsr.study.results.finalized import FinalResult, final_record, read_final
from mmsr.study.results.references import AT_THE_END, cached_lines, measured_lines
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.progress import is_over, progress_of
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.energy import show_energy
from mmsr.study.views.standings import chosen_on
from mmsr.study.views.tables import (
    by_model,
    leaderboard,
    settings_text,
    show_front,
    show_left_out,
    summary,
)
from mmsr.study.workers.failures import alike, kind_of

if TYPE_CHECKING:
    from mmsr.study.results.knockouts import TrialKnockouts

_TOP = 5


@dataclass(frozen=True)
class FailureGroup:
    """Trials that failed with the same error."""

    kind: str
    error: str
    """Error of the first of them."""
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        noun = "trial" if len(self.numbers) == 1 else "trials"
        return f"{self.kind}, {noun} {listed(self.numbers)}: {self.error}"


def grouped(rows: Iterable[TrialRow]) -> Iterator[FailureGroup]:
    """The failures among a study's trials, grouped by error, most frequent first.

    Parameters
    ----------
    rows : the trials.
    """
    groups: dict[tuple[str, str], list[TrialRow]] = {}
    for row in rows:
        if row.state == "failed":
            error = row.error or "no error was recorded"
            groups.setdefault((kind_of(error), alike(error)), []).append(row)
    for (kind, _), members in sorted(groups.items(), key=lambda group: -len(group[1])):
        numbers = tuple(row.number for row in members)
        yield FailureGroup(kind, members[0].error or "no error was recorded", numbers)


def show_end(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Show the failures, the leaderboard, and commands to look further.

    The command that opens test is shown only once all trials are done, and while test is closed.

    Parameters
    ----------
    plan, found : the study, and its trials.
    console : where to show them.
    """
    show_failures(plan, found, console)
    show_energy(found, console)
    known = look_up(plan.name, plan.storage, plan.tracking)
    try:
        top, config = known.best()
    except UserError:
        return
    if plan.against:
        finished = sum(row.state == "finished" for row in found)
        show_front(found, plan.definition.objectives, console, finished)
    else:
        if models := known.definition.models:
            console.print(by_model(found, plan.definition.objectives, models))
        title = f"leaderboard ({chosen_on(plan.objective)}, %)"
        lines = cached_lines(known, config)
        if is_over(known.study):
            lines = measured_lines(known, config, AT_THE_END, partial(console.print, style="dim"))
        console.print(leaderboard(found, plan.objective, title, _TOP, lines))
        show_left_out(lines, console)
        console.print(f"best settings: {settings_text(top.settings)}", soft_wrap=True)
    if all(row.state not in ("running", "waiting") for row in found):
        report_knockouts(known, console)
    console.print("where to look next", style="bold")
    for aim, command in {
        "all trials": f"mmsr study leaderboard {plan.name}",
        "curves": _curves(plan),
        "report": f"mmsr study report {plan.name}",
        "robustness": f"mmsr robustness {plan.name}",
        "best config": f"mmsr best-config export {plan.name} -o best.yaml",
        **_recommending(known, top, config),
        **_test(known),
    }.items():
        console.print(f"  {aim:<12} {command}", soft_wrap=True)


def _recommending(known: KnownStudy, best: TrialRow, config: Config) -> dict[str, str]:
    """How to recommend with the study; empty where no command of mmsr's does."""
    if known.definition.test_selected or known.definition.has_own_trainer:
        return {}
    try:
        result = read_final(known.folder.finalized).result
    except UserError:  # the command says so itself
        return {}
    return {"recommend": recommend_command(known.name, best.number, config, result)}


def recommend_command(name: str, trial: int, config: Config, result: FinalResult | None) -> str:
    """The command that recommends with a study: for one history, or for users that a model knows.

    Parameters
    ----------
    name : name of the study.
    trial, config : number of its best trial, and its config.
    result : the newest test results, whose refit is taken if there is one.
    """
    refit = None if result is None else result.refit
    model = config.model.name if refit is None else Config.from_stored(refit.config).model.name
    own = f" --trial {trial}" if result is not None and refit is None else ""
    if _knows_users(model):
        return f"mmsr recommend {name}{own} --all-users -o top.parquet"
    return f"mmsr recommend {name}{own} --history ITEM,ITEM"


def _knows_users(model: str) -> bool:
    if model == DEFAULT:  # the one model whose settings are read without torch
        return False
    from mmsr.models.base import CollaborativeRecommender

    return issubclass(model_class(model), CollaborativeRecommender)


def show_failures(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Show how many trials ended how, and why some failed.

    Parameters
    ----------
    plan, found : the study, and its trials.
    console : where to show it.
    """
    console.print(f"\nstudy {plan.name}: {summary(found)}")
    for group in grouped(found):
        console.print(f"  {group}", soft_wrap=True)


def _test(known: KnownStudy) -> dict[str, str]:
    """How to open test, or to see its figures; empty while it is too early, and if it is open."""
    try:
        record = final_record(known)
    except UserError:  # it says so itself when it is asked for
        return {}
    if record.result is not None:
        return {"test figures": f"mmsr study finalize {known.name}"}
    if record.opened or not progress_of(known.study).is_complete:
        return {}
    return {"test, once": f"mmsr study finalize {known.name} --seeds 3"}


def _curves(plan: Plan) -> str:
    """How to see the trials' curves in MLflow."""
    if plan.tracking.kind != "server":
        return f"mmsr ui {plan.name}"
    from mmsr.tracking.mlflow_place import curves_page

    page = curves_page(plan.tracking, plan.name, plan.objective)
    return f"{plan.tracking.without_password()}/{page or ''}"


def show_unfinished(
    plan: Plan, found: Sequence[TrialRow], console: Console, *, failures_too: bool = False
) -> None:
    """Show how runs ended and why some failed, if no table of results will show it.

    Parameters
    ----------
    plan, found : the study, and its trials.
    console : where to show it.
    failures_too : show it also if all runs have ended but some of them failed.
    """
    states = ("running", "waiting", "failed") if failures_too else ("running", "waiting")
    if any(row.state in states for row in found):
        show_failures(plan, found, console)


def report_knockouts(known: KnownStudy, console: Console) -> None:
    """Show what each modality contributes to the best trial's model; measured once per trial.

    Shows nothing for models without modalities, or if the model's weights are not here.

    Parameters
    ----------
    known : the study.
    console : where to show it.
    """
    # What is measured needs torch, which nothing else here does.
    from mmsr.study.results.knockouts import knock_out_trial, read_knockouts
    from mmsr.study.results.measured_model import best_of_study

    try:
        subject = best_of_study(known)
    except UserError:
        return
    if not (subject.checkpoint / "best.safetensors").is_file() or not subject.modalities:
        return
    there = read_knockouts(known)
    if there is None or there.trial != subject.trial:
        console.print(f"knocking out modalities of trial {subject.trial} …", style="dim")
        try:
            there = knock_out_trial(known, subject)
        except UserError as error:  # the study's results do not depend on it
            console.print(f"modalities: {error}", style="dim", soft_wrap=True)
            return
    say(there, console)


def say(found: TrialKnockouts, console: Console) -> None:
    """Show a line for each modality.

    Parameters
    ----------
    found : the knock-outs of a trial.
    console : where to show them.
    """
    console.print(f"modalities of trial {found.trial}, each shuffled among items, on validation:")
    for line in found.knockouts.verdicts():
        console.print(f"  {line}", soft_wrap=True)
