"""The model whose robustness is measured: that of a study, of a checkpoint, or of a config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsr import paths
from mmsr.config import Config, read_export
from mmsr.data import Dataset
from mmsr.errors import UserError
from mmsr.graph.checks import check_inputs, modalities_of
from mmsr.graph.masks import n_lost
from mmsr.study.results.finalized import chosen_trial
from mmsr.study.results.held_out import checkpoint_of
from mmsr.study.results.rank_cache import digest
from mmsr.study.storage.known_study import KnownStudy, look_up
from mmsr.study.storage.trials import TrialRow

if TYPE_CHECKING:
    from mmsr.models.base import Recommender
    from mmsr.training import CheckpointState


@dataclass(frozen=True)
class Subject:
    """A model trained on the training part only, so that it has not seen the validation targets."""

    name: str
    origin: str
    """Where the model comes from, in words."""
    config: Config
    dataset: Dataset
    checkpoint: Path
    """Folder of the checkpoint, which may not exist before `prepare`."""
    output: Path
    """Default folder of the results."""
    known: KnownStudy | None = None
    trial: int | None = None
    to_train: bool = False
    """Whether only the config exists, and the model is still to be trained."""
    state: CheckpointState | None = None
    """The checkpoint's state, where its training may be going on; the model is refused if it was
    saved again."""

    @property
    def metric(self) -> str:
        """The metric to measure: the one that chose the model's epoch."""
        return self.config.training.select_by.removeprefix("valid/")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that the model uses and has seen in training."""
        if self.config.model.modalities_as is None:
            return ()
        missing = self.config.graph.missing
        used = modalities_of(self.dataset, self.config.graph)
        named = used if missing.modalities is None else missing.modalities

        def seen(name: str) -> bool:
            n_have = len(self.dataset.features(name).items)
            return name not in named or n_lost(missing.rate, n_have) < n_have

        return tuple(name for name in used if seen(name))

    def prepare(
        self, progress: Callable[[str], None] = lambda message: None, device: str = "auto"
    ) -> None:
        """Train the model if only its config exists; interrupted training is resumed.

        Parameters
        ----------
        progress : called with messages for the user.
        device : device to train on.
        """
        if not self.to_train:
            return
        from mmsr.training import holds_checkpoint, train

        resume = self.checkpoint if holds_checkpoint(self.checkpoint) else None
        for result in train(self.config, self.dataset, resume=resume, device=device):
            result.save_checkpoint(self.checkpoint)
            progress(f"training: epoch {result.epoch} of at most {self.config.training.epochs}")

    def load(self, device: str = "auto", *, restored: bool = True) -> Recommender:
        """The model of the best epoch, in which items have all their modalities.

        Modalities that `graph.missing` removed in training are restored, except those that no item
        had in training: their codes were never trained, so the model runs without them.

        Parameters
        ----------
        device : device of the model.
        restored : False leaves the model as its epochs were scored, without these modalities.

        Raises
        ------
        UserError : the weights are missing or damaged, or not those that `origin` speaks of.
        """
        from mmsr.training import choose_device, load_best_model, read_checkpoint
        from mmsr.training.step import new_model

        def read(state: CheckpointState) -> Recommender:
            if self.state not in (None, state):
                raise UserError(
                    f"checkpoint {str(self.checkpoint)!r} was saved again meanwhile: wait until "
                    "its training has ended, or name a copy of it"
                )
            return load_best_model(self.checkpoint, self.config, self.dataset)

        _, model = read_checkpoint(self.checkpoint, read)
        if restored and self.config.graph.missing.rate > 0:
            whole = new_model(self.config.replace({"graph.missing.rate": 0.0}), self.dataset)
            model.tables.relink({m: whole.tables.links(m) for m in self.modalities})
        return model.to(choose_device(device))


def find_subject(name: str, storage: str | None = None, tracking: str | None = None) -> Subject:
    """The model of a checkpoint folder, of a config file, or of a study.

    Parameters
    ----------
    name : path of the folder or file, or name of the study.
    storage, tracking : URLs of a study's state and runs; by default those it was run with.

    Raises
    ------
    UserError : there is none, or it was trained on validation targets.
    """
    path = Path(name)
    if (path / "state.json").exists():
        return _of_run(path)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return _of_config(path)
    return of_study(look_up(name, storage, tracking))


def of_study(known: KnownStudy) -> Subject:
    """The model of the study `known`: that of the finalized trial, else that of the best one.

    Refits are not used: they were trained on the validation targets.
    """
    known.check_honest()
    row, config, finalized = chosen_trial(known)
    return of_trial(known, row, config, "finalized" if finalized else "best")


def best_of_study(known: KnownStudy) -> Subject:
    """The model of the best trial of the study `known`.

    Raises
    ------
    UserError : no trial has finished, or its checkpoint is missing.
    """
    return of_trial(known, *known.best(), "best")


def of_trial(known: KnownStudy, row: TrialRow, config: Config, why: str) -> Subject:
    """The model of one trial.

    Parameters
    ----------
    known : the study.
    row, config : the trial, and its config.
    why : why it was chosen, e.g. `best`.
    """
    return Subject(
        name=known.name,
        origin=f"{why} trial {row.number} of study {known.name}",
        config=config,
        dataset=known.open_dataset(),
        checkpoint=checkpoint_of(known, row),
        output=known.folder.path / "robustness",
        known=known,
        trial=row.number,
    )


def trained_on(folder: Path, state: CheckpointState) -> tuple[Config, Dataset]:
    """The config of a checkpoint, and the data set that it was trained on.

    Parameters
    ----------
    folder, state : the checkpoint.

    Raises
    ------
    UserError : the data set is gone, or has other contents now.
    """
    config = Config.from_stored(state.config, source=str(folder / "state.json"))
    dataset = Dataset.open(config.dataset)
    if dataset.content_hash != state.dataset_hash:
        raise UserError(
            f"{str(folder)!r} was trained on other data than {dataset.name!r} holds now "
            f"({state.dataset_hash[:12]}, now {dataset.content_hash[:12]}): import those again"
        )
    return config, dataset


def _of_run(folder: Path) -> Subject:
    from mmsr.training import read_checkpoint

    state, (config, dataset) = read_checkpoint(folder, lambda state: trained_on(folder, state))
    if state.part != "train":
        raise UserError(
            f"{str(folder)!r} was trained on validation targets too, so they would flatter it: "
            "name a run of `mmsr train`, or a study"
        )
    check_inputs(dataset, config)
    name = folder.resolve().name
    output = paths.home() / "robustness" / f"{name}-{digest(str(folder.resolve()))}"
    origin = f"epoch {state.best_epoch} of run {folder}"
    return Subject(name, origin, config, dataset, folder, output, state=state)


def _of_config(path: Path) -> Subject:
    config = Config.from_yaml(path)
    recorded = read_export(path)
    dataset = Dataset.open(config.dataset)
    if recorded is not None and recorded.dataset_hash not in (None, dataset.content_hash):
        raise UserError(
            f"{path} was found on other data than {dataset.name!r} holds now: import those again"
        )
    check_inputs(dataset, config)
    key = digest(f"{config.to_yaml()} {dataset.content_hash}")
    output = paths.home() / "robustness" / f"{path.stem}-{key}"
    origin = "a config, trained for this"
    return Subject(path.stem, origin, config, dataset, output / "run", output, to_train=True)
