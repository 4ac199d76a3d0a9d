"""`mmsr study finalize`: rank the best configs on test, once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from mmsr.cli.options import Address, DryRun, Notify, StudyName, StudyStorage, StudyTracking
from mmsr.console import Console

if TYPE_CHECKING:
    from mmsr.finalize.request import FinalPlan
    from mmsr.finalize.run import Finalized


def finalize(
    name: StudyName,
    top: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many of the best trials by validation. Default: 1."),
    ] = None,
    trial: Annotated[
        list[int] | None, typer.Option(metavar="N", help="This trial instead; repeatable.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Refits of each config, each with its own seed.")
    ] = 3,
    optimism: Annotated[
        bool,
        typer.Option(
            "--optimism/--no-optimism",
            help="Also train with the same seeds on the training part alone, to estimate how much "
            "of the validation score was luck. About doubles the cost.",
        ),
    ] = True,
    cpus: Annotated[
        float | None, typer.Option(metavar="X", help="CPU cores of each run. Default: a trial's.")
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(metavar="X", help="GPUs of each run, e.g. 0.25. Default: a trial's."),
    ] = None,
    address: Address = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="Where the refits rank test: auto, cpu, cuda or cuda:N."
        ),
    ] = "auto",
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Open test again for new refits; the results say how often it was."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also finalize a study that still has trials to run."),
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="While test is open, also rank it as modalities go missing; curves are written "
            "and recorded in MLflow as `mmsr robustness` does.",
        ),
    ] = False,
    notify: Notify = None,
    dry_run: DryRun = False,
    storage: StudyStorage = None,
    tracking_uri: StudyTracking = None,
) -> None:
    """Refit the best configs on train + validation with several seeds, and open test once.

    Refits train for the number of epochs that validation chose. Their seeds are new, and decide
    weights, order of batches, dropout and the clustering of codes. Repeating the command resumes
    the runs. Once they have finished, test is opened; that is recorded before test is read. Later
    calls show the same result.
    """
    from mmsr.finalize.reporting import about_test
    from mmsr.finalize.request import make_final_plan
    from mmsr.finalize.view import show_record, show_request
    from mmsr.notices import Receiver
    from mmsr.study.driver.exit_codes import exit_code
    from mmsr.study.driver.notices import notified
    from mmsr.study.results.finalized import read_final
    from mmsr.study.storage.known_study import look_up

    receiver = Receiver.named(notify)
    known = look_up(name, storage, tracking_uri)
    given = {kind: value for kind, value in (("cpu", cpus), ("gpu", gpus)) if value is not None}
    record = known.folder.read_record()
    only_shown = not again and read_final(known.folder.finalized).result is not None
    plan = make_final_plan(
        known,
        top=1 if top is None else top,
        trials=trial or (),
        n_seeds=seeds,
        optimism=optimism,
        resources={**((record.resources if record else None) or {}), **given} or None,
        address=address,
        force=force or only_shown,
    )
    console = Console()
    if dry_run:
        show_request(plan, console)
        return
    from mmsr.finalize.run import finalize as run

    def all_of_it() -> int:
        look = None
        if robustness:
            from mmsr.robustness.on_test import TestLook

            look = TestLook(known)
        done = run(plan, console, device=device, again=again, look=look)
        _say(plan, done, console)
        show_record(done.record, console)
        if look is not None:
            from mmsr.robustness.on_test import report_test

            report_test(look, console)
        return done.code

    about = partial(about_test, known)
    if code := exit_code(lambda: notified(receiver, f"finalizing {name}", about, all_of_it)):
        raise typer.Exit(code)


def _say(plan: FinalPlan, done: Finalized, console: Console) -> None:
    """Say whether this call opened test, and what is left to ship."""
    from mmsr.study.views.unshipped import show_unshipped

    record = done.record
    if record.result is None:
        return
    if not done.complete or (not done.opened and record.opened):
        asked = "" if done.complete else ", for other configs or seeds than those asked for now"
        console.print(
            f"test was opened already, on {record.opened[-1].at}: this is that result{asked} "
            "(--again opens test once more for new refits)",
            soft_wrap=True,
        )
    show_unshipped(done.left, plan.study.name, console)
