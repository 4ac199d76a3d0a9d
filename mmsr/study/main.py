"""`Study`: a declaration that can be run, from Python or from its own command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from mmsr.config import parse_settings
from mmsr.console import tolerant_output
from mmsr.errors import UserError
from mmsr.study.driver.exit_codes import OK, as_user_errors, code_of, exit_code
from mmsr.study.planning.declaration import Declaration, Options
from mmsr.study.search import PRUNERS, SAMPLERS
from mmsr.urls import hidden_words

if TYPE_CHECKING:
    from mmsr.notices import Receiver
    from mmsr.study.planning.plan import Plan
    from mmsr.study.reader.result import StudyResult
    from mmsr.study.results.outcome import Outcome


class Study(Declaration):
    """A hyperparameter study of one data set.

    Every field is described in `mmsr.study.planning.declaration.Declaration`; only `dataset` is
    required. The constructor checks nothing; `main` and `run` check everything before anything is
    scheduled.

    Examples
    --------
    >>> from mmsr.study import Choice, Float, Int, Study, Tpe
    >>> study = Study(
    ...     dataset="demo",
    ...     space={
    ...         "graph.n_codes": Int(10, 50, step=10),
    ...         "model.readout": Choice("last", "last_n_attention"),
    ...         "model.last_n": Int(2, 10, when={"model.readout": "last_n_attention"}),
    ...         "training.learning_rate": Float(5e-4, 5e-3, log=True),
    ...     },
    ...     trials=40,
    ...     sampler=Tpe(startup_trials=10),
    ... )
    >>> study.objective
    'valid/mrr@20'

    In a file such as `studies/demo.py`, end with `study.main()` to give the study its command line.
    """

    def main(
        self, arguments: Sequence[str] | None = None, prepare: Callable[[], object] | None = None
    ) -> NoReturn:
        """Run the study from the command line, and exit the process.

        Exit codes: 0 done, 1 stopped by an error, 2 bad input (nothing was scheduled), 130
        interrupted.

        Parameters
        ----------
        arguments : the command line without the program's name; None takes that of the process.
        prepare : called before the study runs, e.g. to generate the data set.
        """

        def run() -> int:
            options = _parse(arguments)
            if prepare is not None:
                prepare()
            return execute(self, options)

        tolerant_output()
        code = exit_code(run)
        sys.stdout.flush()
        sys.exit(code)

    def run(self, options: Options | None = None) -> StudyResult:
        """Run the study, or resume it, from a script or a notebook.

        What the command prints is printed; in a notebook, the table of trials is a live HTML table.
        If this process is connected to Ray, the trials run there, and Ray is left running; else Ray
        is started for the study and stopped with it. Ctrl-C, or a notebook's stop button, stops the
        running trials in good order, and the result says so; a second one, or one before the first
        trial runs, raises KeyboardInterrupt. The same call resumes the study in any case.

        Parameters
        ----------
        options : what the command line can change, e.g. `Options(trials=10)`; None runs the study
            as declared.

        Returns
        -------
        The trials as a data frame, the best config, where everything is, what failed, and how the
        run ended.

        Raises
        ------
        UserError : bad input, and nothing was scheduled; or the storage or a disk failed, and the
            same call resumes the study.
        """
        from mmsr.notices import Receiver
        from mmsr.study.planning.make_plan import make_plan
        from mmsr.study.reader.result import result_of
        from mmsr.study.storage import database

        options = options or Options()

        if options.dry_run:
            raise UserError("dry_run=True: call the study's dry_run(), since run() runs it")
        with as_user_errors():
            receiver = Receiver.named(options.notify)
            plan = make_plan(self, options)
            outcome = _run(plan, receiver)
            with database.watching(plan.storage):
                return result_of(plan, outcome)

    def dry_run(self, options: Options | None = None) -> None:
        """Check everything and show what would run, as `--dry-run` does; nothing is run.

        Parameters
        ----------
        options : as in `run`.

        Raises
        ------
        UserError : bad input.
        """
        from mmsr.notices import Receiver
        from mmsr.study.planning.make_plan import make_plan

        options = options or Options()
        with as_user_errors():
            Receiver.named(options.notify)
            _show(make_plan(self, options))


def execute(study: Study, options: Options) -> int:
    """Run a study as its command does, or show what would run; returns the exit code.

    Parameters
    ----------
    study, options : the study, and its command line.

    Raises
    ------
    UserError : bad input; nothing was scheduled.
    """
    from mmsr.notices import Receiver
    from mmsr.study.planning.make_plan import make_plan

    receiver = Receiver.named(options.notify)
    plan = make_plan(study, options)
    if options.dry_run:
        _show(plan)
        return OK
    return code_of(_run(plan, receiver))


def _show(plan: Plan) -> None:
    from mmsr.study.views.dry_run import show_plan

    show_plan(plan)


def _run(plan: Plan, receiver: Receiver | None) -> Outcome:
    from mmsr.study.driver.notices import about_study, notified
    from mmsr.study.driver.run import run_study

    outcomes: list[Outcome] = []

    def run() -> int:
        outcomes.append(run_study(plan))
        return code_of(outcomes[0])

    about = partial(about_study, plan.name, plan.storage, plan.tracking)
    notified(receiver, f"study {plan.name}", about, run)
    return outcomes[0]


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument in one line, as all other errors are reported."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = _Parser(
        description="Run this study, or resume it: finished trials are kept, others resumed.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--trials", type=_whole, metavar="N", help="trials to run in all, earlier runs included")
    for kind, of in (("", "wall clock"), ("cpu-", "trials' CPUs"), ("gpu-", "trials' GPUs")):
        add(f"--{kind}hours", type=_number, metavar="H", help=f"budget: hours of {of}, all runs")
    add("--warm-start", metavar="STUDY", help="learn from another study's trials")
    add("--epochs", type=_whole, metavar="N", help="most epochs of a trial")
    add("--trial-hours", type=_number, metavar="H", help="fail a trial that trains longer")
    add(
        "--energy",
        nargs="?",
        const=True,
        metavar="COUNTRY",
        help="measure trials' energy; with a country such as DEU, CO2 too",
    )
    add("--name", help="name of the study")
    add("--seed", type=_whole, metavar="N", help="seed of the proposals")
    add("--sampler", choices=SAMPLERS, help="search method, instead of the study's own")
    add("--pruner", choices=PRUNERS, help="how weak trials are stopped, instead of the study's own")
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
    add("--notify", metavar="URL", help="send a notice there when the study ends, fails or waits")
    add("--resume", action="store_true", help="resume a study, which must exist")
    add("--dry-run", action="store_true", help="check everything, show what would run, run nothing")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--"]:  # `ray submit` and its like set it before a script's own arguments
        del words[0]
    try:
        given = parser.parse_args(words)
    except UserError as error:  # it may repeat a URL
        raise UserError(hidden_words(str(error), words)) from None
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
        notify=given.notify,
        energy=given.energy,
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
