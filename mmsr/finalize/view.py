"""How the results of finalizing look: on a terminal, and as Markdown."""

from __future__ import annotations

from rich.table import Table

from mmsr.console import Console
from mmsr.finalize.request import FinalPlan
from mmsr.finalize.tables import compared, figures, metrics_of
from mmsr.format import markdown_table, plural, seconds
from mmsr.study.planning.existing import foresee
from mmsr.study.results.comparison import LEVEL
from mmsr.study.results.finalized import FinalRecord, FinalResult, Optimism
from mmsr.study.views.dry_run import show_outlook, what, where
from mmsr.study.views.tables import facts, settings_text


def show_request(plan: FinalPlan, console: Console) -> None:
    """Show what would run (`--dry-run`); nothing is scheduled or written.

    Parameters
    ----------
    plan : the final runs.
    console : where to show it.

    Raises
    ------
    UserError : no node of the cluster can run a trial.
    """
    found = foresee(plan, plan.only or ())
    over, wanted = plan.trials_over, plural(plan.trials_wanted, "trial")
    told = {
        "study": f"{plan.study.name}: {over} of {wanted} done",
        **{name: text for name, text in what(plan).items() if name != "study"},
        "runs": cost(plan),
        **where(plan),
    }
    console.print(facts(told))
    for one in plan.chosen:
        console.print(
            f"trial {one.number}, {plural(one.epochs, 'epoch')}: {settings_text(one.row.settings)}",
            soft_wrap=True,
        )
    show_outlook(plan, found, console)


def cost(plan: FinalPlan) -> str:
    """What `plan` trains, and how long that takes, in words."""
    configs, n = plural(len(plan.chosen), "config"), len(plan.chosen) * len(plan.seeds)
    text = (
        f"{configs} × {plural(len(plan.seeds), 'seed')}: {plural(n, 'refit')} on train + validation"
    )
    if plan.optimism:
        text += f", {plural(n, 'run')} on train to measure optimism (--no-optimism leaves them out)"
    if plan.training_seconds >= 1:
        text += f"; about {seconds(plan.training_seconds)} of training, {plan.resources} per run"
    return text


def show_record(record: FinalRecord, console: Console) -> None:
    """Show the result, and notes that are needed to read it.

    Parameters
    ----------
    record : the study's record.
    console : where to show it.
    """
    result = record.result
    if result is None:
        return
    console.print(f"\n{_heading(result)}", style="bold", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    columns, body = figures(result)
    for column in columns:
        column = column.replace(" ", "\n")  # all of it fits a terminal of 80 characters
        table.add_column(column, justify="left" if column == "config" else "right", no_wrap=True)
    for place, (line, interval) in enumerate(body):
        table.add_row(*line, style="bold" if place == 0 else "")
        table.add_row(*interval, style="dim")
    console.print(table)
    if result.pairs:
        metric = metrics_of(result)[0]
        pairs = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        columns, rows = compared(result, [metric])
        for column in columns:
            pairs.add_column(column, justify="left" if column == "trials" else "right")
        for line in rows:
            pairs.add_row(*line, style="bold" if line[-1].endswith("*") else "")
        console.print(pairs)
    for told in optimism(result):
        console.print(told, soft_wrap=True)
    for told in notes(record):
        console.print(told, style="dim", soft_wrap=True)


def markdown(record: FinalRecord) -> str:
    """The figures of `record` and their provenance as Markdown."""
    result = record.result
    if result is None:
        return ""
    every = [name.removeprefix("test/") for name in result.best.mean]
    columns, body = figures(result, every)
    parts = [
        f"# {_heading(result)}",
        markdown_table(columns, [row for pair in body for row in pair]),
        "\n".join(f"- {line}" for line in (*optimism(result), *notes(record))),
    ]
    if result.pairs:
        columns, rows = compared(result, list(result.pairs[0].metrics))
        parts += ["## Configs against each other, means over users", markdown_table(columns, rows)]
    parts += [
        "## Settings",
        "\n".join(f"- trial {one.trial}: {settings_text(one.settings)}" for one in result.configs),
        "## Origin",
        "\n".join(
            f"- {name}: {text}"
            for name, text in {
                "command": f"`{result.command}`",
                "study": result.study,
                "data": f"{result.dataset} ({result.protocol}), {result.dataset_hash}",
                "seeds": ", ".join(map(str, result.seeds)),
                "code": ", ".join(f"{name} {value}" for name, value in result.code.items()),
                "made": str(result.created_at),
            }.items()
        ),
    ]
    return "\n\n".join(parts)


def optimism(result: FinalResult) -> list[str]:
    """How much of each config's validation score was luck: a line per config, and what it lacks.

    Parameters
    ----------
    result : the result.
    """
    lines: list[str] = []
    for config in result.configs:
        if (one := config.optimism) is None:
            continue
        spread = "" if one.std is None else f" ± {100 * one.std:.3f}"
        kind = f"{100 * abs(one.luck):.3f} points"
        share = f" ({100 * abs(one.luck) / one.selected:.1f} %)" if one.selected else ""
        is_clear = one.error is None or one.luck > one.error
        told = (
            f"{kind}{share} of it {'is' if is_clear else 'may be'} luck{_give_or_take(one)}"
            if one.luck > 0
            else f"no luck is seen, other seeds give {kind}{share} more"
        )
        lines.append(
            f"optimism: trial {config.trial} was chosen for {result.objective} "
            f"{100 * one.selected:.3f} %; {plural(one.n, 'other seed')} "
            f"give{'s' if one.n == 1 else ''} {100 * one.mean:.3f}{spread} %: {told}"
        )
    means = [config.optimism.mean for config in result.configs if config.optimism is not None]
    if means and max(means) > means[0]:
        ahead = next(c for c in result.configs if c.optimism and c.optimism.mean == max(means))
        lines.append(f"optimism: by the other seeds alone, trial {ahead.trial} would come first")
    if means:
        lines.append(
            "optimism: this understates the luck, because the other seeds chose their epochs on "
            "the same validation targets"
        )
    return lines


def _give_or_take(one: Optimism) -> str:
    return "" if one.error is None else f", standard error {100 * one.error:.3f}"


def notes(record: FinalRecord) -> list[str]:
    """Notes that are needed to read the figures, as lines.

    Parameters
    ----------
    record : the study's record.
    """
    result = record.result
    if result is None:
        return []
    lines = []
    if any(config.std for config in result.configs):
        lines.append(
            "±: standard deviation over seeds (of weights, order of batches, dropout and codes)"
        )
    if result.n_users is not None:
        lines.append(
            f"[ ]: 95 % interval for these seeds, bootstrap over {result.n_users:,} users with "
            f"{result.n_targets:,} targets"
        )
    if result.pairs:
        lines.append(
            f"p: of users' means over the seeds, with Holm's correction over the pairs; *: below "
            f"{LEVEL:g} by Wilcoxon's test"
        )
    for config in result.configs:
        lines += [
            f"trial {config.trial}, seed {one.seed} failed: {one.error}" for one in config.failed
        ]
    if result.trials is not None and result.trials[0] < result.trials[1]:
        over, wanted = result.trials
        were = "was" if wanted == 1 else "were"
        lines.append(f"the study was not finished: {over} of {plural(wanted, 'trial')} {were} done")
    times = plural(len(record.opened), "time")
    first = f", first {record.opened[0].at}" if record.opened else ""
    lines.append(f"test opened {times} for this study{first}")
    return lines


def _heading(result: FinalResult) -> str:
    configs = plural(len(result.configs), "config")
    return (
        f"{result.study}: test of {configs} × {plural(len(result.seeds), 'seed')}, chosen on "
        "validation, in %"
    )
