"""Train a model of RecBole in its own environment, an epoch for each line of standard input.

Prints a JSON object a line: first what is trained, then the seconds of each epoch, or of the share
of it that is asked for.
"""

import json
import sys
import time
from itertools import islice
from pathlib import Path

import recbole
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.utils import get_dataloader
from recbole.utils import get_model, get_trainer, init_seed

MODELS = {"sasrec": "SASRec", "gru4rec": "GRU4Rec"}


def main() -> None:
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given["threads"])
    table = Path(given["interactions"])
    settings = {
        "use_gpu": False,
        "show_progress": False,
        "seed": given["seed"],
        "data_path": str(table.parent.parent),
        "field_separator": ",",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": given["max_history"],
        "eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "loss_type": "CE",
        **given["settings"],
    }
    arguments, sys.argv = sys.argv, sys.argv[:1]  # RecBole reads them, too
    config = Config(model=MODELS[given["model"]], dataset=table.stem, config_dict=settings)
    sys.argv = arguments
    init_seed(config["seed"], config["reproducibility"])
    (examples, *_) = create_dataset(config).build()
    batches = get_dataloader(config, "train")(config, examples, None, shuffle=True)
    model = get_model(config["model"])(config, examples)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    about = {
        "version": recbole.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "targets": len(examples),
        "items": model.n_items - 1,  # less its padding
        "parameters": sum(p.numel() for p in model.parameters()),
        "batch_size": config["train_batch_size"],
        "examples": len(examples),
    }
    print(json.dumps(about), flush=True)
    wanted = max(int(given["share"] * len(batches)), 1)
    done = min(wanted * config["train_batch_size"], len(examples))
    for epoch, _ in enumerate(sys.stdin):
        started, cpu = time.perf_counter(), time.process_time()
        trainer._train_epoch(islice(batches, wanted), epoch)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "examples": done}), flush=True)


if __name__ == "__main__":
    main()
