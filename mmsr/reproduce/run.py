"""Running a reproduction from its study to its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mmsr.errors import UserError
from mmsr.reproduce.collect import collect, runs_of
from mmsr.reproduce.request import Request, name_of
from mmsr.reproduce.results import Results
from mmsr.reproduce.view import markdown
from mmsr.study.driver.exit_codes import FAILED
from mmsr.study.driver.reporting import Telling
from mmsr.study.driver.run import run_plan
from mmsr.study.planning.plan import Plan
from mmsr.study.results.held_out import note_opening, rank_on_test
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.progress import n_over
from mmsr.study.storage.trials import TrialRow, rows
from mmsr.study.views.ending import show_failures


def reproduce(
    request: Request, console: Console, device: str = "auto"
) -> tuple[int, Results | None]:
    """Run what is left of the study, rank its models on test once, and compare the rows.

    Runs that failed are tried again by every call; test is opened again for these alone.

    Returns
    -------
    The exit code, and the results; None where the study was stopped before all runs were over.

    Raises
    ------
    UserError : the study exists and is another one, is being run, or wants what the cluster lacks.
    """
    plan = request.plan
    telling = Telling(end=_show_end, name_of=lambda p: name_of(request, p.settings))
    code = run_plan(plan, telling, retried=plan.only)
    known = look_up(plan.name, plan.storage, plan.tracking)
    if n_over(known.study, plan.only) < plan.trials:
        return code or FAILED, None
    runs = runs_of(request, rows(known.study))
    with console.status("test", spinner="line") as status:
        finished = [run for run in runs.values() if run.state == "finished"]
        if finished and not request.test_selected:
            rank_on_test(
                known,
                finished,
                record=lambda opening: note_opening(known.folder, opening),
                device=device,
                progress=status.update,
            )
        results = collect(request, known, runs, status.update)
    return code, results


def _show_end(plan: Plan, found: Sequence[TrialRow], console: Console) -> None:
    """Say why trials failed where no table will say it."""
    if any(row.state in ("running", "waiting") for row in found):
        show_failures(plan, found, console)


def write_results(results: Results, folder: Path) -> tuple[Path, Path]:
    """Write the results as JSON and Markdown, named after the study.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    text = {".json": results.model_dump_json(indent=1) + "\n", ".md": markdown(results)}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, content in text.items():
            path = folder / f"{results.study}{ending}"
            path.write_text(content)
            written.append(path)
    except OSError as error:
        raise UserError(
            f"cannot write results to {str(folder)!r}: {error.strerror or error}; the same command "
            "with another --output writes them"
        ) from None
    return written[0], written[1]
