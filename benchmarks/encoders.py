"""What a text encoder is worth to MMSR: TF-IDF, MiniLM and, on Toys, CLIP's text vectors.

Only the text vectors differ: a data set's interactions, its images (CLIP's on Toys, none on
Beauty) and all settings are the same. Each seed is trained with early stopping, and validation's
metrics of its best epoch are compared; test stays closed. The settings are MMSR's last known ones.
They were chosen on Toys with CLIP's vectors, which may favour these.

A difference from TF-IDF is taken seed by seed, and stands beside its standard error. Trainings are
resumed by the same command if interrupted; `--train-only` leaves the comparison to a later one.
The step runs in bfloat16 where the processor has it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common
import quality

from mmsr import paths
from mmsr.data import Dataset, ImportSettings, Sources, prepare

ENCODERS = {"toys": ("tfidf", "minilm", "clip"), "beauty": ("tfidf", "minilm")}
"""What may encode the texts of each data set; `clip` stands for the vectors that come with it."""
REFERENCE = "tfidf"
"""The default of an import."""
QUICK_SEEDS = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = common.parser(__doc__.splitlines()[0])
    result.add_argument("--dataset", choices=tuple(ENCODERS), default="toys")
    result.add_argument(
        "--encoders", nargs="+", choices=ENCODERS["toys"], help="default: all of the data set"
    )
    result.add_argument("--seeds", type=int, nargs="+", default=quality.SEEDS)
    result.add_argument("--train-only", action="store_true", help="train, and compare later")
    return result


def encoded(source: str, encoder: str) -> Dataset:
    """The data set with texts of this encoder, imported where it is not there."""
    if encoder == "clip":
        return common.import_if_missing(source)
    name = f"{source}-{encoder}"
    if (paths.datasets() / name).is_dir():
        return Dataset.open(name)
    tables = common.DATA / source
    images = tables / "image_features.parquet"
    features = {"image": images} if images.exists() else {}
    sources = Sources(tables / "interactions.parquet", tables / "items.parquet", features)
    return prepare(name, sources, ImportSettings(text_encoder=encoder)).dataset


def compared(found: dict[str, list[float]]) -> dict[str, float]:
    """Means of each encoder's scores, and paired differences from the reference.

    Parameters
    ----------
    found : scores of each encoder, in the order of the seeds.

    Returns
    -------
    `mean_ENCODER`, and with two seeds or more `std_ENCODER`; for each encoder but the reference
    `difference_ENCODER` and, likewise, its standard error `error_ENCODER`.
    """
    figures: dict[str, float] = {}
    for encoder, scores in found.items():
        figures[f"mean_{encoder}"] = statistics.fmean(scores)
        if len(scores) > 1:
            figures[f"std_{encoder}"] = statistics.stdev(scores)
        if encoder == REFERENCE or REFERENCE not in found:
            continue
        gains = [a - b for a, b in zip(scores, found[REFERENCE], strict=True)]
        figures[f"difference_{encoder}"] = statistics.fmean(gains)
        if len(gains) > 1:
            figures[f"error_{encoder}"] = statistics.stdev(gains) / len(gains) ** 0.5
    return figures


def main() -> None:
    arguments = parser().parse_args()
    source, quick = arguments.dataset, arguments.quick
    encoders = arguments.encoders or ENCODERS[source]
    if unknown := set(encoders) - set(ENCODERS[source]):
        sys.exit(f"{source} has no vectors of {', '.join(unknown)}: {', '.join(ENCODERS[source])}")
    seeds = arguments.seeds[:QUICK_SEEDS] if quick else arguments.seeds
    machine = common.machine(seconds=0.5)
    figures: dict[str, float] = {}
    found: dict[str, list[float]] = {}
    hashes, trained_by = {}, set()
    for encoder in encoders:
        dataset = encoded(source, encoder)
        root = paths.home() / "benchmarks" / f"encoders-{'quick' if quick else 'full'}"
        root /= f"{source}-{encoder}"
        for seed in seeds:
            config = quality.config_of(dataset.name, seed, "mmsr", "ratio", quick)
            epochs, valid = quality.choose_epochs(config, dataset, root / f"{seed}-choose")
            figures[f"epochs_{encoder}_{seed}"] = float(epochs)
            figures |= {f"{metric}_{encoder}_{seed}": value for metric, value in valid.items()}
            found.setdefault(encoder, []).append(valid[config.training.select_by])
        hashes[encoder] = dataset.content_hash
        trained_by |= set(quality.trained_by(root, seeds, ("choose",)))
    if arguments.train_only:
        return
    common.write(
        "encoders",
        figures | compared(found),
        {},
        arguments.json,
        machine,
        dataset=source,
        dataset_hashes=hashes,
        seeds=seeds,
        trained_by=sorted(trained_by),
        settings=quality.settings_of("mmsr", "ratio"),
        selected_on=config.training.select_by,
    )


if __name__ == "__main__":
    main()
