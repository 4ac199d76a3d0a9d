"""Measuring robustness: rank at every point, knock out, summarise, write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmsr.errors import UserError, reason_of
from mmsr.evaluation.sweep import Sweep, run_sweep
from mmsr.pace import Steps
from mmsr.provenance import provenance
from mmsr.robustness.plots import draw_html, draw_png
from mmsr.robustness.results import NAME, Results
from mmsr.study.results.knockouts import knockouts, ranked
from mmsr.study.results.measured_model import Subject


def measure(
    subject: Subject,
    sweep: Sweep,
    folder: Path,
    *,
    device: str = "auto",
    progress: Callable[[str], None] = lambda message: None,
) -> Results:
    """Curves and knock-outs of a model on validation targets.

    Codes, model and histories are loaded once; from point to point only links change. Ranks are
    cached in `folder`, so an interrupted call is resumed.

    Parameters
    ----------
    subject : the model.
    sweep : the points to measure.
    folder : folder of the cache; created if it is missing.
    device : device of the model.
    progress : called with messages for the user.

    Raises
    ------
    UserError : there is no such device, or the folder cannot be written.
    """
    _make(folder)
    subject.prepare(progress, device)
    valid = subject.dataset.valid()
    rank = ranked(subject, folder, valid, device=device)

    steps = Steps()

    def tell(done: int, total: int) -> None:
        progress(f"point {done + 1} of {total}: {steps.at(done, total)}")

    curves = run_sweep(sweep, lambda mask: [rank(mask)], valid.users, tell)
    return Results(
        name=subject.name,
        origin=subject.origin,
        part="valid",
        trial=subject.trial,
        dataset=subject.dataset.name,
        dataset_hash=subject.dataset.content_hash,
        protocol=subject.dataset.protocol,
        config=subject.config.to_dict(),
        **provenance(),
        curves=curves,
        knockouts=knockouts(subject, folder, valid, device=device, progress=progress),
    )


def write(results: Results, folder: Path) -> tuple[Path, Path, Path]:
    """Write the results as JSON, PNG and interactive page.

    Parameters
    ----------
    results : the results.
    folder : where to write; created if it is missing.

    Returns
    -------
    The paths of the three files.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    _make(folder)
    paths = tuple(folder / f"{NAME}-{results.part}{end}" for end in (".json", ".png", ".html"))
    try:
        paths[0].write_text(results.model_dump_json(indent=1) + "\n")
        draw_png(results, paths[1])
        draw_html(results, paths[2])
    except OSError as error:
        raise _unwritable(folder, error) from None
    return paths[0], paths[1], paths[2]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> UserError:
    reason = reason_of(error)
    return UserError(f"cannot write to {str(folder)!r}: {reason}; name another --output")
