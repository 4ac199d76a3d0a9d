"""What a study would take, before it runs: how many trials at once, memory, hours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from mmsr.study.planning.plan import Plan
from mmsr.study.search.space import apply
from mmsr.study.sizing.packing import settle
from mmsr.study.sizing.probe import Measured, Probe
from mmsr.study.workers.cluster import Capacity, check_resources, cores, ray_cluster
from mmsr.study.workers.resources import GB, Node

_HOUR = 3600.0


def expect(plan: Plan, console: Console) -> dict[str, str]:
    """Measure one trial, unless that was done before, and say what follows.

    The trial that is timed has the first known settings, or the config's defaults where there are
    none. It runs alone: trials that run beside each other may take longer than that.

    Raises
    ------
    UserError : the cluster has no node for a trial, or the trial that is timed does not run.
    """
    config = apply(plan.base, plan.known[0]) if plan.known else plan.base
    with reached(plan):
        if not _on_cores(plan):
            plan = settle(plan, console.print)
        probe = Probe(plan, config, 1.0 if plan.resources.gpu else 0.0)
        measured = probe.known()
        if measured is None:
            console.print("timing a part of one epoch")
            measured = probe.measure(console.print)
        return {
            "resources": fit_in_words(plan),
            "memory": _memory(plan, measured),
            "epoch": _epoch(plan, measured),
            "expected": _hours(plan, measured),
        }


@contextmanager
def reached(plan: Plan) -> Iterator[None]:
    """Ray where it is needed: to ask a cluster, or how much this machine has besides cores."""
    if _on_cores(plan):
        yield
        return
    with ray_cluster(plan.address):
        yield


def fit_in_words(plan: Plan) -> str:
    """What a trial gets, and how many run at once.

    Raises
    ------
    UserError : the cluster has no node for a trial.
    """
    threads = _some(plan.base.training.threads or 1, "thread")
    where = f"this machine's {_some(cores(), 'core')}" if _on_cores(plan) else "this cluster"
    return f"{plan.resources} a trial ({threads}); {_at_once(plan)} at once on {where}"


def _at_once(plan: Plan) -> int:
    if _on_cores(plan):
        return plan.resources.fit(Node(cores()))
    check_resources(plan.resources)
    return Capacity(plan.resources)()


def _on_cores(plan: Plan) -> bool:
    """Whether the number of this machine's cores says how many trials fit."""
    wanted = plan.resources
    return plan.address is None and not (wanted.gpu or wanted.memory or wanted.auto)


def _memory(plan: Plan, measured: Measured) -> str:
    device = measured.device_memory
    on_device = f", {device / GB:.1f} GB of the GPU" if device is not None else ""
    return f"{measured.memory / GB:.1f} GB{on_device} at the peak of {_which(plan)}"


def _epoch(plan: Plan, measured: Measured) -> str:
    timed = "one epoch" if measured.share == 1 else f"{measured.share:.0%} of an epoch"
    ranking = f", {seconds(measured.evaluate_seconds)} ranking" if measured.evaluate_seconds else ""
    return f"{seconds(measured.train_seconds)} training{ranking}: {timed} of {_which(plan)}, alone"


def _hours(plan: Plan, measured: Measured) -> str:
    trials, epochs, at_once = plan.trials, plan.base.training.epochs, _at_once(plan)
    rounds = -(-trials // at_once)
    total = rounds * epochs * measured.epoch_seconds
    return (
        f"at most {total / _HOUR:.2g} hours, if all {trials} trials ran all {epochs} epochs and "
        "took as long; less by all that stops early"
    )


def _which(plan: Plan) -> str:
    return "the first known settings" if plan.known else "the config's defaults"


def seconds(value: float) -> str:
    """Seconds with two digits."""
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
