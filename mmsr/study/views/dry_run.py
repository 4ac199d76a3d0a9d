"""What a study shows before it runs (`--dry-run`) and when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from mmsr.errors import UserError
from mmsr.study.expectation import expect, fit_in_words, reached
from mmsr.study.planning.plan import Plan
from mmsr.study.results.pareto import show_front
from mmsr.study.search.objectives import in_words
from mmsr.study.search.space import describe_size
from mmsr.study.storage.budget import RULE
from mmsr.study.storage.trials import (
    TrialRow,
    best,
    chosen_on,
    leaderboard,
    settings_text,
    summary,
)
from mmsr.study.workers.failures import grouped
from mmsr.tracking.databases import without_password

_TOP = 5


def show_plan(plan: Plan) -> None:
    """Show what would run, after timing a part of one epoch; nothing is scheduled.

    Only caches are written: modality codes, and what was measured.

    Raises
    ------
    UserError : the cluster has no node for a trial, or the trial that is timed does not run.
    """
    console = Console(highlight=False)
    expected = expect(plan, console)
    console.print(
        facts(
            what(plan)
            | {
                "space": describe_size(plan.space),
                "proposals": f"{plan.sampler}, seed {plan.seed}",
                "early stop": str(plan.pruner or "none")
                + (": several objectives give no one value to compare" if plan.against else ""),
                **_limits(plan),
            }
            | expected
            | _places(plan)
        )
    )
    space = Table(title="search space", title_justify="left", title_style="bold")
    space.add_column("key", no_wrap=True)
    space.add_column("values", overflow="fold")
    for key, dimension in plan.space.items():
        space.add_row(key, str(dimension))
    console.print(space)
    for place, settings in enumerate(plan.known, start=1):
        console.print(f"tried first, {place}: {settings_text(dict(settings))}", soft_wrap=True)
    console.print("dry run: nothing was scheduled")


def _limits(plan: Plan) -> dict[str, str]:
    """Budgets and warm start, where there are some."""
    told = {}
    if plan.budget.limits:
        told["budget"] = f"{plan.budget}, or {plan.trials} trials: {RULE}"
    if plan.warm is not None:
        told["warm start"] = str(plan.warm)
    return told


def facts(told: Mapping[str, str]) -> Table:
    """Things and what is to be said of them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for thing, text in told.items():
        table.add_row(thing, text)
    return table


def what(plan: Plan) -> dict[str, str]:
    """What a study would run, and on which data."""
    counts = plan.dataset.manifest.counts
    modalities = ", ".join(plan.dataset.modalities) or "no modality"
    return {
        "study": f"{plan.name}: {plan.trials} trials of at most "
        f"{plan.base.training.epochs} epochs, {in_words(plan.definition.objectives)}",
        "data set": f"{plan.dataset.name}: {counts.users:,} users, {counts.items:,} items, "
        f"{counts.interactions:,} interactions; {modalities}",
        "targets": f"{counts.train_targets:,} training, {counts.valid_targets:,} validation "
        f"({plan.dataset.protocol}); content {plan.dataset.content_hash[:12]}",
    }


def where(plan: Plan) -> dict[str, str]:
    """Where a study would run, and where its state goes.

    Raises
    ------
    UserError : the cluster has no node for a trial.
    """
    with reached(plan):
        return {"resources": fit_in_words(plan)} | _places(plan)


def _places(plan: Plan) -> dict[str, str]:
    return {
        "storage": without_password(plan.storage),
        "tracking": without_password(plan.tracking),
        "folder": str(plan.folder.path),
    }


def show_end(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Show the leaderboard, what failed, and where to look next."""
    show_failures(plan, found, console)
    try:
        top, _ = best(found, plan.name)
    except UserError:
        return
    if plan.against:
        show_front(found, plan.definition.objectives, console)
    else:
        title = f"leaderboard ({chosen_on(plan.objective)}, %)"
        console.print(leaderboard(found, plan.objective, title, _TOP))
        console.print(f"best settings: {settings_text(top.settings)}", soft_wrap=True)
    if all(row.state not in ("running", "waiting") for row in found):
        from mmsr.study.results.knockouts import report_knockouts
        from mmsr.study.storage.known_study import look_up

        report_knockouts(look_up(plan.name, plan.storage, plan.tracking), console)
    console.print("where to look next", style="bold")
    for what, command in {
        "all trials": f"mmsr study leaderboard {plan.name}",
        "curves": _curves(plan),
        "robustness": f"mmsr robustness {plan.name}",
        "best config": f"mmsr best-config export {plan.name} -o best.yaml",
        "test, once": f"mmsr study finalize {plan.name} --seeds 3",
    }.items():
        console.print(f"  {what:<12} {command}", markup=False, soft_wrap=True)


def show_failures(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Show how the trials ended, and why some failed."""
    console.print(f"\nstudy {plan.name}: {summary(found)}")
    for group in grouped(found):
        console.print(f"  {group}", markup=False, soft_wrap=True)


def _curves(plan: Plan) -> str:
    """How to look at the trials' curves in MLflow."""
    from mmsr.tracking.mlflow_place import study_page

    page = study_page(plan.tracking, plan.name, plan.objective)
    if plan.tracking.startswith("http"):
        return f"{without_password(plan.tracking).rstrip('/')}/{page or ''}"
    command = (
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri "
        + without_password(plan.tracking)
    )
    return command if page is None else f"{command}\n{'':<15}http://127.0.0.1:5000/{page}"
