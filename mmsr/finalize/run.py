"""Finalising a study, from its final runs to the test results."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.finalize.champion import Champion, save_champion
from mmsr.finalize.collect import collect, runs_of
from mmsr.finalize.reporting import FinalsReporter, report_results
from mmsr.finalize.request import DEVELOPMENT, FinalPlan
from mmsr.finalize.view import cost, markdown
from mmsr.pace import progress_line
from mmsr.study.driver.exit_codes import FAILED, OK
from mmsr.study.driver.reporting import Reporting
from mmsr.study.driver.run import run_plan
from mmsr.study.results.finalized import FinalRecord, final_record, read_final
from mmsr.study.results.held_out import Look, Opening, is_ranked, rank_on_test
from mmsr.study.storage import database
from mmsr.study.storage.known_study import KnownStudy, ship, unshipped_of
from mmsr.study.storage.progress import n_over, taken_back
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import show_unfinished
from mmsr.study.workers.messages import Proposal
from mmsr.tracking import Unshipped

REPORT_FILE = "finalized.md"


@dataclass(frozen=True)
class Finalized:
    """How finalizing ended."""

    code: int
    """Exit code."""
    record: FinalRecord
    opened: bool = False
    """Whether this call opened test."""
    left: Unshipped = field(default_factory=Unshipped)
    """What could not be shipped to the tracking server."""
    complete: bool = False
    """Whether the recorded result covers the configs and seeds that this call asked for."""


def finalize(
    plan: FinalPlan,
    console: Console,
    *,
    device: str = "auto",
    again: bool = False,
    look: Look | None = None,
) -> Finalized:
    """Train the missing runs, let the refits rank test, and record the results.

    The first call to get that far opens test and records the opening; later calls show its result.
    Every call retries failed runs, but once test is open, failed refits are retried only with
    `again`.

    Parameters
    ----------
    plan : the final runs.
    console : where to show progress.
    device : device on which the refits rank test.
    again : open test again for new refits; this counts as another opening.
    look : measures something else while test is open: called with each refit's row (its settings
        and config), its model and the test prefixes, right after the model has ranked test.

    Raises
    ------
    UserError : test was opened for other configs, the study is being run, or a run needs resources
        that the cluster lacks.
    """
    known = plan.study
    before = final_record(known)
    if before.result is not None and not again:
        complete = _asked(plan) == _answered(before)
        return Finalized(OK, before, complete=complete, left=_ship(known))
    with known.folder.locked():
        finals = _finals(plan)
        before = final_record(known)
        if before.result is not None and not again:  # since the first look
            return Finalized(OK, before, complete=_asked(plan) == _answered(before))
        may_refit = again or not before.opened
        if before.opened and not again:
            _check_cut_off(plan, before, finals)
        console.print(cost(plan), soft_wrap=True)
        code = run_plan(
            plan,
            Reporting(
                show_end=show_unfinished,
                name_of=name_of,
                metric=known.definition.objective,
                reporter=lambda _, study, tracker: FinalsReporter(plan, tracker),
            ),
            retried=[one for one in plan.only or () if may_refit or one["part"] != DEVELOPMENT],
        )
        finals = _finals(plan)
        if finals is None or n_over(finals.study, plan.only) < plan.trials:
            return Finalized(code or FAILED, before)
        runs = runs_of(plan, rows(finals.study))
        refits = [
            row
            for (_, _, part), row in runs.items()
            if part == DEVELOPMENT and row.state == "finished"
        ]
        if not refits:
            return Finalized(FAILED, before)
        with progress_line(console, "test") as tell:
            opened = rank_on_test(
                finals,
                refits,
                who="mmsr study finalize",
                why=f"study {known.name}: trials {', '.join(str(c.number) for c in plan.chosen)}",
                record=lambda opening: _note_opening(known, before, opening),
                device=device,
                progress=tell,
                look=look,
            )
            result = collect(plan, runs, tell)
        record = final_record(known).model_copy(update={"result": result})
        known.folder.write(REPORT_FILE, markdown(record))
        known.folder.write(known.folder.finalized.name, record.model_dump_json(indent=1))
        left = report_results(
            known, record, [known.folder.finalized.name, REPORT_FILE], _champion(known, console)
        )
    for name in (REPORT_FILE, known.folder.finalized.name):
        console.print(f"wrote {known.folder.path / name}", soft_wrap=True)
    return Finalized(OK, record, opened=opened, left=left, complete=True)


def _champion(known: KnownStudy, console: Console) -> Champion | None:
    """The winner as a model to register; None, and a note, where there can be none."""
    try:
        with console.status("writing the model", spinner="line"):
            return save_champion(known)
    except UserError as error:
        console.print(f"note: no model is registered in MLflow: {error}", soft_wrap=True)
        return None


def name_of(proposal: Proposal) -> str:
    """What the run `proposal` is called."""
    settings = proposal.settings
    part = "refit" if settings["part"] == DEVELOPMENT else "validation"
    return f"{settings['trial']}, seed {settings['seed']}, {part}"


def _finals(plan: FinalPlan) -> KnownStudy | None:
    """The study of the final runs; None if none was started."""
    study = database.load_study(database.open_storage(plan.storage), plan.name)
    if study is None:
        return None
    return plan.as_known(study)


def _check_cut_off(plan: FinalPlan, before: FinalRecord, finals: KnownStudy | None) -> None:
    """Raise UserError if an interrupted call opened test elsewhere or for something else."""
    last = before.opened[-1]
    opened = {number for opening in before.opened for number in opening.trials}
    noted = read_final(plan.study.folder.finalized).opened
    ranked = all(is_ranked(plan.folder, number) for number in last.trials)
    if last not in noted and not ranked:
        raise UserError(
            f"test was opened for study {plan.study.name!r} on {last.at}, but the results are not "
            f"in {plan.study.folder.path}: finalize on the machine that has them, or copy that "
            "folder from there; --again opens test once more, which is counted"
        )
    runs = runs_of(plan, rows(finals.study)) if finals else {}
    refits = [row for (_, _, part), row in runs.items() if part == DEVELOPMENT]
    again = taken_back(finals.study) if finals else set()  # these are run again
    ranked_next = {row.number for row in refits if row.state != "failed" or row.number in again}
    if len(refits) < len(plan.chosen) * len(plan.seeds) or not ranked_next <= opened:
        raise UserError(
            f"test was opened for study {plan.study.name!r} on {last.at}, but that call was "
            "interrupted: give its command again to resume it; --again opens test once more for "
            "what this command asks for, which is counted"
        )


def _note_opening(known: KnownStudy, before: FinalRecord, opening: Opening) -> None:
    """Record an opening; the newest result stays until there is another."""
    record = before.model_copy(update={"opened": (*before.opened, opening)})
    known.folder.write(known.folder.finalized.name, record.model_dump_json(indent=1))


def _ship(known: KnownStudy) -> Unshipped:
    """Ship the events that an earlier call could not."""
    left = unshipped_of(known)
    if not left.can_be_sent:
        return left
    with known.folder.locked():
        return ship(known)


def _asked(plan: FinalPlan) -> tuple[object, ...]:
    return tuple(one.number for one in plan.chosen), plan.seeds


def _answered(record: FinalRecord) -> tuple[object, ...]:
    result = record.result
    return () if result is None else (tuple(c.trial for c in result.configs), result.seeds)
