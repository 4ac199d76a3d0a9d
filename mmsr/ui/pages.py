"""The pages that show a study, in MLflow and in optuna-dashboard."""

from __future__ import annotations

from mmsr.inner_names import id_of_study
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import ranked
from mmsr.tracking.mlflow_place import compare_page, study_page

COMPARED = 10
"""How many of the best trials the compare page shows."""


def mlflow_pages(known: KnownStudy | None) -> dict[str, str]:
    """What there is to see in MLflow: paths below the server's address, by what they show.

    Parameters
    ----------
    known : the study whose pages are wanted; None for all experiments.
    """
    if known is None:
        return {"experiments": "#/experiments"}
    found = {"curves": study_page(known.tracking, known.name, known.definition.objective)}
    best = [one.number for one in ranked(known.overview.standings)[:COMPARED]]
    runs = [row.mlflow_run_id for row in known.rows(best) if row.mlflow_run_id]
    if len(runs) > 1:
        found["compare"] = compare_page(known.tracking, known.name, runs)
    pages = {name: path for name, path in found.items() if path is not None}
    return {"experiments": "#/experiments", **pages}


def dashboard_page(known: KnownStudy | None) -> str:
    """Path of a study's page in optuna-dashboard, or of the list of all.

    Parameters
    ----------
    known : the study; None for all.
    """
    return "dashboard" if known is None else f"dashboard/studies/{id_of_study(known.study)}"
