"""The pages that show a study, in MLflow and in optuna-dashboard."""

from __future__ import annotations

from mmsr.inner_names import id_of_study, storage_of
from mmsr.study.storage.attributes import key_of
from mmsr.study.storage.database import study_uid
from mmsr.study.storage.known_study import STUDY, KnownStudy
from mmsr.study.storage.trials import ranked
from mmsr.tracking.mlflow_place import compare_page, curves_page, run_ids, run_page

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
    place, ids = (known.tracking, known.name), known.overview.ids
    storage = storage_of(known.study)
    best = ranked(known.overview.standings, known.definition.objectives)[:COMPARED]
    keys = [key_of(storage.get_trial(ids[one.number])) for one in best]
    uid = study_uid(known.study)
    found = {"curves": curves_page(*place, known.definition.objective)}
    if own := run_ids(*place, uid, [STUDY]):
        found = {"study": run_page(*place, own[0]), **found}
    if len(runs := run_ids(*place, uid, keys)) > 1:
        found["compare"] = compare_page(*place, runs)
    pages = {name: path for name, path in found.items() if path is not None}
    return {"experiments": "#/experiments", **pages}


def dashboard_page(known: KnownStudy | None) -> str:
    """Path of a study's page in optuna-dashboard, or of the list of all.

    Parameters
    ----------
    known : the study; None for all.
    """
    return "dashboard" if known is None else f"dashboard/studies/{id_of_study(known.study)}"
