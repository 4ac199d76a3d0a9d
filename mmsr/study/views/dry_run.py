"""The screen of `--dry-run`: what would run, where, and how long it would take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from rich.table import Table

from mmsr.console import Console
from mmsr.format import brief_seconds, plural, seconds
from mmsr.study.planning.existing import Found, foresee
from mmsr.study.planning.plan import Plan
from mmsr.study.search.objectives import in_words
from mmsr.study.search.space import Space, apply
from mmsr.study.sizing.packing import settle
from mmsr.study.sizing.probe import Measured, Probe
from mmsr.study.storage.budget import RULE
from mmsr.study.storage.definition import TRAINER
from mmsr.study.views.tables import (
    facts,
    settings_text,
)
from mmsr.study.workers.addresses import is_connected
from mmsr.study.workers.cluster import (
    Capacity,
    check_resources,
    cores,
    ray_cluster,
)
from mmsr.study.workers.resources import GB, Node


def show_plan(plan: Plan) -> None:
    """Show what would run, after timing a part of one epoch; no trial is scheduled.

    Nothing is written but caches: modality codes, and the measurement.

    Parameters
    ----------
    plan : the study.

    Raises
    ------
    UserError : another study has the name, no node of the cluster can run a trial, or the timed
        trial does not run.
    """
    console = Console()
    found = foresee(plan)
    left = found.left(plan)
    expected = expect(plan, console, left) if left else {}
    console.print(
        facts(
            what(plan, found)
            | {
                **(_models(plan) if plan.models else {"space": describe_size(plan.space)}),
                "proposals": f"{plan.sampler}, seed {plan.seed}",
                "early stop": str(plan.pruner or "none")
                + (": several objectives do not allow it" if plan.against else ""),
                **_limits(plan),
            }
            | expected
            | _places(plan)
        )
    )
    for one in plan.contenders:
        of = "" if one.model is None else f" of {one.model}"
        space = Table(title=f"search space{of}", title_justify="left", title_style="bold")
        space.add_column("key", no_wrap=True)
        space.add_column("values", overflow="fold")
        for key, dimension in one.space.items():
            space.add_row(key, str(dimension))
        console.print(space)
        for place, settings in enumerate(one.known, start=1):
            console.print(f"tried first, {place}: {settings_text(dict(settings))}", soft_wrap=True)
    show_outlook(plan, found, console)


def show_outlook(plan: Plan, found: Found, console: Console) -> None:
    """Show the last lines of a dry run: whether the study exists, and that nothing ran.

    Parameters
    ----------
    plan, found : the study, and what a run of it would find.
    console : where to show them.
    """
    if found.study is not None:
        console.print(found.greeting(plan), soft_wrap=True)
    console.print("dry run: nothing was scheduled")


def _models(plan: Plan) -> dict[str, str]:
    """The rows on the models of a study of several: how they share trials, what each gets."""
    shared = plan.share.in_words(len(plan.models), plan.trials)
    told = (
        f"{one.model} ({len(one.known)} tried first, {describe_size(one.space)})"
        for one in plan.models
    )
    return {"models": f"{len(plan.models)}, {shared}", "": "; ".join(told)}


def _limits(plan: Plan) -> dict[str, str]:
    """Another trainer than mmsr's own, budget, warm start and energy, if the study has them."""
    told = {}
    if plan.trainer != TRAINER:
        told["trainer"] = plan.trainer
    if plan.budget.limits:
        told["budget"] = f"{plan.budget}, or {plural(plan.trials, 'trial')}: {RULE}"
    if plan.warm is not None:
        told["warm start"] = str(plan.warm)
    if plan.energy is not None:
        told["energy"] = "measured" + (f", CO2 of {plan.energy}" if plan.energy else "")
    return told


def what(plan: Plan, found: Found | None = None) -> dict[str, str]:
    """The rows on what `plan` runs, and on which data.

    Parameters
    ----------
    plan : the study.
    found : what a run of it would find, if that is to be said.
    """
    counts = plan.dataset.manifest.counts
    modalities = ", ".join(plan.dataset.modalities) or "no modality"
    done = f", {found.over} of them done" if found is not None and found.over else ""
    return {
        "study": f"{plan.name}: {plural(plan.trials, 'trial')} of at most "
        f"{plural(plan.base.training.epochs, 'epoch')}{done}, "
        f"{in_words(plan.definition.objectives)}",
        "data set": f"{plan.dataset.name}: {counts.users:,} users, {counts.items:,} items, "
        f"{counts.interactions:,} interactions; {modalities}",
        "targets": f"{counts.train_targets:,} training, {counts.valid_targets:,} validation "
        f"({plan.dataset.protocol}); content {plan.dataset.content_hash[:12]}",
    }


def where(plan: Plan) -> dict[str, str]:
    """The rows on where `plan` runs, and where its state is stored.

    Raises
    ------
    UserError : no node of the cluster can run a trial.
    """
    with reached(plan):
        return {"resources": fit_in_words(plan)} | _places(plan)


def _places(plan: Plan) -> dict[str, str]:
    return {
        "storage": str(plan.storage),
        "tracking": plan.site.away or str(plan.tracking),
        "folder": str(plan.folder.path),
    }


def expect(plan: Plan, console: Console, left: int) -> dict[str, str]:
    """Measure one trial, or look up an earlier measurement, and estimate the study's time from it.

    The timed trial has the first known settings, or the config's defaults if there are none. It
    runs alone; trials that run side by side may take longer. Of several models, one trial of each
    is timed.

    Parameters
    ----------
    plan : the study.
    console : where to say what is being measured.
    left : number of trials that are left to run.

    Returns
    -------
    The rows on resources, memory, epoch and expected time.

    Raises
    ------
    UserError : no node of the cluster can run a trial, or the timed trial does not run.
    """
    with reached(plan):
        if not _on_cores(plan):
            plan = settle(plan, console.print)
        timed = {one.model: _timed(plan.of_model(one), console) for one in plan.contenders}
        most = max(timed.values(), key=lambda one: one.memory)
        return {
            "resources": fit_in_words(plan),
            "memory": _memory(plan, most),
            "epoch": "; ".join(
                (f"{model} " if model else "") + _epoch(plan, one) for model, one in timed.items()
            ),
            "expected": _hours(plan, left, *timed.values()),
        }


def _timed(plan: Plan, console: Console) -> Measured:
    """One measured trial of a study of one model."""
    config = apply(plan.base, plan.known[0]) if plan.known else plan.base
    probe = Probe(plan, config, 1.0 if plan.resources.gpu else 0.0)
    if (measured := probe.known()) is not None:
        return measured
    console.print("timing a part of one epoch")
    return probe.measure(console.print)


@contextmanager
def reached(plan: Plan) -> Iterator[None]:
    """Be connected to Ray if `plan` needs it: for a cluster, or this machine's GPUs and memory."""
    if _on_cores(plan):
        yield
        return
    with ray_cluster(plan.address):
        yield


def fit_in_words(plan: Plan) -> str:
    """What a trial of `plan` gets, and how many run at once, in words.

    Raises
    ------
    UserError : no node of the cluster can run a trial.
    """
    threads = plural(plan.base.training.threads or 1, "thread")
    where = f"this machine's {plural(cores(), 'core')}" if _on_cores(plan) else "this cluster"
    return f"{plan.resources} per trial ({threads}); {_at_once(plan)} at once on {where}"


def _at_once(plan: Plan) -> int:
    if _on_cores(plan):
        return plan.resources.fit(Node(cores()))
    check_resources(plan.resources)
    return Capacity(plan.resources)()


def _on_cores(plan: Plan) -> bool:
    """Whether the cores of this machine alone decide how many trials fit."""
    wanted = plan.resources
    asked = wanted.gpu or wanted.memory or wanted.auto
    return plan.address is None and not asked and not is_connected()


def _memory(plan: Plan, measured: Measured) -> str:
    device = measured.device_memory
    on_device = f", {device / GB:.1f} GB of the GPU" if device is not None else ""
    return f"{measured.memory / GB:.1f} GB{on_device} at the peak of {_which(plan)}"


def _epoch(plan: Plan, measured: Measured) -> str:
    timed = "one epoch" if measured.share == 1 else f"{measured.share:.0%} of an epoch"
    training, ranking = brief_seconds(measured.train_seconds), ""
    if measured.evaluate_seconds:
        ranking = f", {brief_seconds(measured.evaluate_seconds)} ranking"
    return f"{training} training{ranking}: {timed} of {_which(plan)}, alone"


def _hours(plan: Plan, left: int, *timed: Measured) -> str:
    """The time that the trials take which are left to run."""
    epochs = plan.base.training.epochs
    rounds = -(-left // _at_once(plan))
    epoch_seconds = statistics.fmean(one.epoch_seconds for one in timed)  # models take turns
    time = seconds(rounds * epochs * epoch_seconds)
    full = f"{plural(left, 'trial')} of {plural(epochs, 'epoch')}"
    if left < plan.trials:
        full = f"the {full} that are left" if left > 1 else f"the {full} that is left"
    return (
        f"about {time}, for {full} at this speed; trials that run side by side or have dearer "
        "settings take longer, early stopping makes it less"
    )


def _which(plan: Plan) -> str:
    return "the first known settings" if plan.known else "the config's defaults"


def describe_size(space: Space) -> str:
    """Number of settings of `space` in words; those that conditions rule out are counted, too."""
    sizes = [dimension.size() for dimension in space.values()]
    finite = math.prod(size for size in sizes if size is not None)
    continuous = sum(size is None for size in sizes)
    if not continuous:
        return _settings(finite)
    return f"{_settings(finite)} × {plural(continuous, 'continuous dimension')}"


def _settings(count: int) -> str:
    return "1 setting" if count == 1 else f"{count:,} settings"
