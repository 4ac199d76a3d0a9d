"""Train a model of RecTools in its own environment, an epoch for each line of standard input.

Prints a JSON object a line: first what is trained, then the seconds of each epoch, or of the share
of it that is asked for.
"""

import json
import sys
import time
from importlib.metadata import version

import pandas as pd
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


class OnDemand(Callback):
    """Waits for a line before each epoch, and prints how long the epoch took."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        examples = trainer.train_dataloader.dataset
        about = {
            "version": version("RecTools"),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "targets": sum(len(session) - 1 for session in examples.sessions),
            "items": module.data_preparator.item_id_map.size - 1,  # less its padding
            "parameters": sum(p.numel() for p in module.parameters()),
            "batch_size": trainer.train_dataloader.batch_size,
            "examples": len(examples),
        }
        print(json.dumps(about), flush=True)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        if not sys.stdin.readline():
            raise SystemExit
        self.started, self.cpu = time.perf_counter(), time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        seconds, cpu = time.perf_counter() - self.started, time.process_time() - self.cpu
        batches, loader = trainer.num_training_batches, trainer.train_dataloader
        done = min(batches * loader.batch_size, len(loader.dataset))
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "examples": done}), flush=True)


def new_trainer(share: float) -> Trainer:
    """A trainer that ends only when no line follows."""
    return Trainer(
        max_epochs=-1,
        limit_train_batches=share,
        callbacks=[OnDemand()],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main() -> None:
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    seed_everything(given["seed"])
    table = pd.read_csv(given["interactions"])
    table.columns = [Columns.User, Columns.Item, Columns.Datetime]
    table[Columns.Datetime] = pd.to_datetime(table[Columns.Datetime], unit="s")
    table[Columns.Weight] = 1
    model = SASRecModel(
        session_max_len=given["max_history"],
        get_trainer_func=new_trainer,
        get_trainer_func_kwargs={"share": given["share"]},
        **given["settings"],
    )
    model.fit(Dataset.construct(table))


if __name__ == "__main__":
    main()
