"""Writing a report to files, and attaching it to the study's run in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsr import paths
from mmsr.errors import UserError, reason_of
from mmsr.report.blocks import Page
from mmsr.report.html import html_of
from mmsr.report.markdown import markdown_of
from mmsr.study.storage.known_study import (
    SHIP_SECONDS,
    STUDY,
    KnownStudy,
    check_journal,
    close_study,
    open_journal,
)
from mmsr.tracking import Unshipped

FOLDER, NAMES = "report", ("report.html", "report.md")
"""Where a report is in its study's folder, and what its files are called there and in MLflow."""


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    files: tuple[Path, Path]
    """The page and its Markdown twin."""
    left: Unshipped | None
    """What MLflow does not have yet; None if the report was not attached."""
    not_attached: str = ""
    """Why it was not attached; empty if it was."""


def check_output(output: Path) -> None:
    """Raise UserError if a report cannot be written to a path, as far as that is known before.

    Parameters
    ----------
    output : the path of the page.
    """
    if output.is_dir():
        raise UserError(f"--output {str(output)!r} is a folder: name a file, e.g. report.html")
    if output.suffix.lower() == ".md":
        raise UserError(
            f"--output {str(output)!r}: name the page, e.g. {output.with_suffix('.html')}; the "
            "Markdown file is written beside it"
        )
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output {str(output)!r}: there is no folder {output.parent}")
    twin = output.with_suffix(".md")
    if twin.exists() and not (output.is_file() and twin.is_file()):
        raise UserError(
            f"--output {str(output)!r}: {twin} would be written too, and is there already without "
            "the page: name another file, or remove it"
        )


def write(page: Page, known: KnownStudy, output: Path | None) -> Written:
    """Write a report, and attach it to the study's run unless the study is being run.

    Parameters
    ----------
    page : the report.
    known : the study.
    output : file of the page; the Markdown file stands beside it. None keeps both in the study's
        folder alone.

    Raises
    ------
    UserError : a file cannot be written.
    """
    texts = (html_of(page), markdown_of(page))
    folder = known.folder.path / FOLDER
    kept = (folder / NAMES[0], folder / NAMES[1])
    files = kept if output is None else (output, output.with_suffix(".md"))
    _write(files, texts)
    try:
        if output is not None:
            _write(kept, texts)
        check_journal(known)
        if known.folder.is_running():
            raise UserError("the study is being run: repeat the command when it has ended")
        left = attach(known, folder)
    except UserError as error:
        return Written(files, None, str(error))
    return Written(files, left)


def attach(known: KnownStudy, folder: Path) -> Unshipped:
    """Store a report's files with the study's run in MLflow; returns what could not be shipped.

    Parameters
    ----------
    known : the study, which nobody is running.
    folder : the folder with `NAMES`.
    """
    with known.folder.locked():
        tracker = open_journal(known)
        tracker.open_run(STUDY, f"study {known.name}", resume=False)
        tracker.upload(STUDY, folder, NAMES)
        close_study(tracker, known)
        return tracker.close(SHIP_SECONDS)


def _write(files: tuple[Path, Path], texts: tuple[str, str]) -> None:
    for path, text in zip(files, texts, strict=True):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.write_whole(path, text.encode("utf-8", "replace"))
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {reason_of(error)}; name another file with --output"
            ) from None
