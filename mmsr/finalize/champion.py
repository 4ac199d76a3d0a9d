"""The winner as a model of MLflow: the best config's first refit, exported and registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mmsr.errors import UserError, reason_of
from mmsr.study.storage.known_study import KnownStudy

ALIAS = "champion"
FOLDER = "champions"
"""Name of the folder of a study's MLflow models, one sub-folder each; the newest is registered."""


@dataclass(frozen=True)
class Champion:
    """An MLflow model that is ready to be shipped."""

    folder: Path
    digest: str
    """Hash of the exported model in it."""
    description: str
    """Its model card."""
    tags: dict[str, str]


def save_champion(known: KnownStudy) -> Champion:
    """Write the winner as an MLflow model into the study's folder.

    Parameters
    ----------
    known : the study, which has been finalized.

    Raises
    ------
    UserError : the model reads no histories, or cannot be written.
    """
    from mlflow.exceptions import MlflowException

    from mmsr.serving.exported.files import CARD
    from mmsr.serving.exported.mlflow_model import DATA, save_mlflow_model
    from mmsr.serving.exported.write import export_model
    from mmsr.serving.sources import of_study

    recommender = of_study(known, device="cpu")
    place = known.folder.path / FOLDER
    try:
        place.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix=".draft-", dir=place) as draft:
            exported = Path(draft) / DATA
            record = export_model(recommender, exported)
            target = place / record.digest[:16]
            if not (target / "MLmodel").exists():
                save_mlflow_model(exported, recommender, Path(draft) / "mlflow")
                (Path(draft) / "mlflow").rename(target)
            card = (exported / CARD).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {place}: {reason_of(error)}") from None
    except MlflowException as error:
        raise UserError(f"cannot write {place}: {error.message}") from None
    facts = recommender.facts
    tags = {"mmsr.study": known.name, "mmsr.origin": recommender.origin}
    if facts is not None:
        tags |= {"mmsr.dataset": facts.dataset, "mmsr.dataset_hash": facts.dataset_hash}
    return Champion(target, record.digest, card, tags)
