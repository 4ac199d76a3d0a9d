"""`Study`: the declaration of a study, and its command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mmsr.config import parse_settings
from mmsr.errors import UserError
from mmsr.study.mistakes import noting_mistakes
from mmsr.study.options import Options
from mmsr.study.search import PRUNERS, SAMPLERS, Halving, Pruner, Sampler, Tpe
from mmsr.study.search.defaults import DEFAULT_SPACE
from mmsr.study.search.dimensions import Dimension
from mmsr.study.storage.database import StorageLost

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


@noting_mistakes
@dataclass(frozen=True, kw_only=True)
class Study:
    """A hyperparameter study of one data set.

    Nothing is checked here; `main` (and `mmsr.study.planning.plan.make_plan`) checks everything
    before anything is scheduled.
    """

    dataset: str
    """Prepared data set by name."""
    name: str | None = None
    """Default: the data set's name."""
    space: Mapping[str, Dimension] = field(default_factory=lambda: dict(DEFAULT_SPACE))
    """What is varied, by dotted config key."""
    objective: str | Sequence[str] = "valid/mrr@20"
    """Validation metric to maximise; it also chooses each trial's best epoch. Several metrics are
    weighed against each other: the first as said, and others of
    `mmsr.study.search.objectives.AGAINST`. No trial is stopped early then."""
    trials: int | None = None
    """Trials that are over in the end: finished, stopped early or failed. None stands for all of a
    grid, and for 20 otherwise."""
    epochs: int | None = None
    """Most epochs of a trial; None leaves the config's default."""
    resources: Mapping[str, float] | str = field(default_factory=lambda: {"cpu": 1, "gpu": 0})
    """What each trial gets: `cpu` (threads follow it) and `gpu`, both may be fractions, and
    `memory_gb` of main memory; or "auto": `mmsr.study.sizing.packing` measures one trial."""
    trial_hours: float | None = None
    """Hours of training after which a trial is failed; None sets no limit."""
    base: Mapping[str, Any] = field(default_factory=dict)
    """Config values that are not varied, by dotted key, where they are not the defaults."""
    enqueue: Sequence[Mapping[str, Any]] | None = None
    """Settings to try first; None stands for `KNOWN_SETTINGS`, as far as the space has them."""
    only_enqueued: bool = False
    """Run what is enqueued and propose nothing else; settings that are new to a study that exists
    are added to it, others of it are left alone. `trials` is not used then."""
    sampler: Sampler = field(default_factory=Tpe)
    """How settings are proposed; another run of the study may do it in another way."""
    pruner: Pruner | None = field(default_factory=Halving)
    """How weak trials are stopped; None lets all run to their end."""
    hours: float | None = None
    """Wall clock that all drivers of the study may take in all; see `mmsr.study.storage.budget`."""
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    """What trials may take of CPUs and GPUs, likewise."""
    warm_start: str | None = None
    """Another study, whose trials inform this one; see `mmsr.study.planning.warm_start`."""
    seed: int = 2023
    """Seed of the proposals; a trial's own seed is `seed` in its config."""
    trainer: str = "mmsr.training:train"
    """Import path of the training generator."""

    def main(
        self, arguments: Sequence[str] | None = None, prepare: Callable[[], object] | None = None
    ) -> NoReturn:
        """Run the study from the command line, and exit.

        Exit codes: 0 done, 1 stopped by errors, 2 bad input (nothing was scheduled), 130
        interrupted.

        Parameters
        ----------
        arguments : the command line; default: the process's.
        prepare : called first, e.g. to generate the data set.
        """

        def run() -> int:
            options = _parse(arguments)
            if prepare is not None:
                prepare()
            return self.run(options)

        code = exit_code(run)
        sys.stdout.flush()
        sys.exit(code)

    def run(self, options: Options | None = None) -> int:
        """Run the study, or show what would run; returns the exit code.

        Raises
        ------
        UserError : bad input; nothing was scheduled.
        """
        from mmsr.study.planning.plan import make_plan

        plan = make_plan(self, options or Options())
        if options is not None and options.dry_run:
            from mmsr.study.views.dry_run import show_plan

            show_plan(plan)
            return OK
        from mmsr.study.driver.run import run_plan

        return run_plan(plan)


def exit_code(run: Callable[[], int]) -> int:
    """Run something that returns its exit code; an error becomes one line on stderr and a code."""
    try:
        return run()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return BAD_INPUT
    except StorageLost as error:
        sys.stderr.write(f"error: {error}; the same command goes on when it is back\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(f"error: {error}; the same command goes on when that is mended\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = _Parser(
        description="Run this study, or go on with it: finished trials stay, others continue.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--trials", type=_whole, metavar="N", help="trials that are over in the end")
    for kind, of in (("", "wall clock"), ("cpu-", "trials' CPUs"), ("gpu-", "trials' GPUs")):
        add(f"--{kind}hours", type=_number, metavar="H", help=f"budget: hours of {of}, all drivers")
    add("--warm-start", metavar="STUDY", help="let another study's trials inform this one")
    add("--epochs", type=_whole, metavar="N", help="most epochs of a trial")
    add("--trial-hours", type=_number, metavar="H", help="fail a trial that trains longer")
    add("--name", help="name of the study")
    add("--seed", type=_whole, metavar="N", help="seed of the proposals")
    add("--sampler", choices=SAMPLERS, help="search method, in place of the study's own")
    add(
        "--pruner", choices=PRUNERS, help="how weak trials are stopped, in place of the study's own"
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="fix a config key, e.g. graph.n_codes=30; repeatable",
    )
    add("--address", help="Ray cluster to join, e.g. auto; default: Ray on this machine")
    add("--storage", metavar="URL", help="Optuna's database; default: $MMSR_STORAGE, or SQLite")
    add("--tracking-uri", metavar="URI", help="MLflow; default: SQLite in $MMSR_HOME")
    add("--resume", action="store_true", help="go on with a study, which must exist")
    add("--dry-run", action="store_true", help="check everything, show what would run, run nothing")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--"]:  # `ray submit` and its like set it before a script's own arguments
        del words[0]
    given = parser.parse_args(words)
    return Options(
        name=given.name,
        trials=given.trials,
        epochs=given.epochs,
        trial_hours=given.trial_hours,
        hours=given.hours,
        cpu_hours=given.cpu_hours,
        gpu_hours=given.gpu_hours,
        warm_start=given.warm_start,
        seed=given.seed,
        sampler=given.sampler,
        pruner=given.pruner,
        address=given.address,
        storage=given.storage,
        tracking_uri=given.tracking_uri,
        resume=given.resume,
        dry_run=given.dry_run,
        settings=parse_settings(given.set),
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
