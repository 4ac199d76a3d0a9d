"""The robustness of a study's model, recorded as a nested run on the tracking server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsr.config import Config
from mmsr.robustness.plots import footnote, title
from mmsr.robustness.results import NAME, Results
from mmsr.study.results.rank_cache import digest
from mmsr.study.storage.known_study import (
    SHIP_SECONDS,
    STUDY,
    KnownStudy,
    close_study,
    open_journal,
)
from mmsr.tracking import RunState, Tracker, Unshipped
from mmsr.tracking.base import NOTE_TAG


def record_robustness(known: KnownStudy, results: Results, files: Sequence[Path]) -> Unshipped:
    """Record the results as the nested run `robustness`; returns what could not be shipped.

    Measuring the same model again with the same settings updates its run.

    Parameters
    ----------
    known : the study.
    results : the results.
    files : files to upload.
    """
    with known.folder.locked():
        tracker = open_journal(known)
        tracker.open_run(STUDY, f"study {known.name}", resume=False)
        note(tracker, known.name, results, files)
        close_study(tracker, known)
        return tracker.close(SHIP_SECONDS)


def note(tracker: Tracker, study: str, results: Results, files: Sequence[Path]) -> None:
    """Record the results with a tracker; a metric's step is the percentage of items that miss it.

    Parameters
    ----------
    tracker : where to record them.
    study : name of the study.
    results : the results.
    files : files to upload.
    """
    curves = results.curves
    asked = f"{results.trial} {results.part} {curves.way} {curves.mask_seeds} " + " ".join(
        f"{curve.modalities} {[point.rate for point in curve.points]}" for curve in curves.curves
    )
    key = f"{NAME} {digest(asked)}"
    tracker.open_run(
        key,
        NAME,
        parent=STUDY,
        params=Config.from_dict(results.config).flat()
        | {"robustness.way": curves.way, "robustness.mask_seeds": len(curves.mask_seeds)},
        tags={
            NOTE_TAG: f"**{title(results)}**, as in `{NAME}-{results.part}.html`: "
            f"{footnote(results)}. The step of a metric is the percentage that is missing.",
            "mmsr.kind": NAME,
            "mmsr.study": study,
            "mmsr.part": results.part,
            "mmsr.optuna_number": str(results.trial),
            "mmsr.dataset_hash": results.dataset_hash,
            "mmsr.protocol": results.protocol,
            "mmsr.version": results.code["version"],
            "mmsr.commit": results.code.get("commit", ""),
        },
    )
    steps: dict[int, dict[str, float]] = {}
    for curve in curves.curves:
        name = f"{results.part}/missing_{'_'.join(curve.modalities)}/{curves.metric}"
        steps.setdefault(0, {})[f"{name}_area"] = curve.area
        for point in curve.points:
            values = {name: point.value, f"{name}_low": point.low, f"{name}_high": point.high}
            steps.setdefault(round(100 * point.rate), {}).update(values)
    if results.knockouts is not None:
        for found in results.knockouts.results:
            name = f"knockout/{found.label.replace(' ', '_')}"
            steps.setdefault(0, {})[f"{name}_cost"] = found.cost
    for step, metrics in sorted(steps.items()):
        tracker.log(key, step, metrics)
    for file in files:
        tracker.upload(key, file.parent, [file.name])
    tracker.close_run(key, RunState.FINISHED)
