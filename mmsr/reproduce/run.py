"""Running a reproduction, from its study to its results."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mmsr.errors import UserError
from mmsr.reproduce.collect import collect, runs_of
from mmsr.reproduce.request import Request, name_of
from mmsr.reproduce.results import Results
from mmsr.reproduce.view import markdown
from mmsr.study.driver.exit_codes import FAILED
from mmsr.study.driver.reporting import Reporting
from mmsr.study.driver.run import run_plan
from mmsr.study.results.held_out import note_opening, rank_on_test
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.progress import n_over
from mmsr.study.storage.trials import rows
from mmsr.study.views.ending import show_unfinished


def reproduce(
    request: Request, console: Console, device: str = "auto"
) -> tuple[int, Results | None]:
    """Train the missing runs, let their models rank test once, and compare the rows.

    Every call retries failed runs; test is opened again for these only.

    Parameters
    ----------
    request : the rows and seeds.
    console : where to show progress.
    device : device on which the models rank test.

    Returns
    -------
    The exit code, and the results; None if the study was stopped before all runs were done.

    Raises
    ------
    UserError : the name belongs to another study, the study is being run, or a run needs resources
        that the cluster lacks.
    """
    plan = request.plan
    reporting = Reporting(
        show_end=show_unfinished,
        name_of=lambda proposal: name_of(request, proposal.settings),
    )
    code = run_plan(plan, reporting, retried=plan.only)
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
                who="mmsr reproduce",
                why=f"study {known.name}: {len(finished)} runs",
                record=lambda opening: note_opening(known.folder, opening),
                device=device,
                progress=status.update,
            )
        results = collect(request, known, runs, status.update)
    return code, results


def write_results(results: Results, folder: Path) -> tuple[Path, Path]:
    """Write the results as JSON and Markdown, named after the study.

    Parameters
    ----------
    results : the results.
    folder : where to write; created if it is missing.

    Returns
    -------
    The paths of the two files.

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
            f"cannot write results to {str(folder)!r}: {error.strerror or error}; give the same "
            "command with another --output"
        ) from None
    return written[0], written[1]
