"""What a text encoder is worth to MMSR: TF-IDF, MiniLM and, on Toys, CLIP's text vectors.

Only the text vectors differ: a data set's interactions, its images (CLIP's on Toys, none on
Beauty) and all settings are the same. Each seed is trained with early stopping, and validation's
metrics of its best epoch are compared; test stays closed. The settings are MMSR's last known ones.
They were chosen on Toys with CLIP's vectors, which may favour these.

A difference from TF-IDF is taken seed by seed, over the seeds that both have, and stands beside its
standard error. Trainings are resumed by the same command if interrupted; `--train-only` leaves the
comparison to a later one. What the file of `--json` has of the same data and settings is not
trained again, so that seeds may be added one by one. The step runs in bfloat16 where the processor
has it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import common
import quality

from mmsr import paths
from mmsr.data import Dataset, ImportSettings, Sources, prepare

ENCODERS = {"toys": ("tfidf", "minilm", "clip"), "beauty": ("tfidf", "minilm")}
"""What may encode the texts of each data set; `clip` stands for the vectors that come with it."""
REFERENCE = "tfidf"
"""The default of an import."""
SCORE = "valid/mrr@20"
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


def compared(found: dict[str, dict[int, float]]) -> dict[str, float]:
    """Means of each encoder's scores, and paired differences from the reference.

    Parameters
    ----------
    found : scores of each encoder by seed.

    Returns
    -------
    `mean_ENCODER`, and with two seeds or more `std_ENCODER`; for each encoder but the reference
    `difference_ENCODER` over the seeds that both have and, likewise, its standard error
    `error_ENCODER`.
    """
    figures: dict[str, float] = {}
    reference = found.get(REFERENCE, {})
    for encoder, scores in found.items():
        figures[f"mean_{encoder}"] = statistics.fmean(scores.values())
        if len(scores) > 1:
            figures[f"std_{encoder}"] = statistics.stdev(scores.values())
        gains = [scores[seed] - reference[seed] for seed in sorted(scores.keys() & reference)]
        if encoder == REFERENCE or not gains:
            continue
        figures[f"difference_{encoder}"] = statistics.fmean(gains)
        if len(gains) > 1:
            figures[f"error_{encoder}"] = statistics.stdev(gains) / len(gains) ** 0.5
    return figures


def kept(file: Path | None, settings: dict[str, Any]) -> dict[str, Any]:
    """The result in a file, if it is one of these settings; else one of no figures.

    Parameters
    ----------
    file : what `--json` names.
    settings : of the trainings.
    """
    if file is not None and file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
        if found["settings"] == settings:
            return found
    return {"figures": {}, "dataset_hashes": {}, "trained_by": []}


def main() -> None:
    arguments = parser().parse_args()
    source, quick = arguments.dataset, arguments.quick
    encoders = arguments.encoders or ENCODERS[source]
    if unknown := set(encoders) - set(ENCODERS[source]):
        sys.exit(f"{source} has no vectors of {', '.join(unknown)}: {', '.join(ENCODERS[source])}")
    seeds = arguments.seeds[:QUICK_SEEDS] if quick else arguments.seeds
    machine = common.machine(seconds=0.5)
    settings = quality.settings_of("mmsr", "ratio") | {"quick": quick}
    before = kept(arguments.json, settings)
    metrics = {key: value for key, value in before["figures"].items() if key[-1].isdigit()}
    hashes, trained_by = before["dataset_hashes"], set(before["trained_by"])
    for encoder in encoders:
        dataset = encoded(source, encoder)
        if hashes.setdefault(encoder, dataset.content_hash) != dataset.content_hash:
            sys.exit(f"{arguments.json} has figures of another {dataset.name}: name another file")
        root = paths.home() / "benchmarks" / f"encoders-{'quick' if quick else 'full'}"
        root /= f"{source}-{encoder}"
        for seed in (seed for seed in seeds if f"epochs_{encoder}_{seed}" not in metrics):
            config = quality.config_of(dataset.name, seed, "mmsr", "ratio", quick)
            epochs, valid = quality.choose_epochs(config, dataset, root / f"{seed}-choose")
            metrics[f"epochs_{encoder}_{seed}"] = float(epochs)
            metrics |= {f"{metric}_{encoder}_{seed}": value for metric, value in valid.items()}
            trained_by |= set(quality.trained_by(root, [seed], ("choose",)))
    if arguments.train_only:
        return
    found: dict[str, dict[int, float]] = {}
    for key, value in metrics.items():
        metric, encoder, seed_text = key.rsplit("_", 2)
        if metric == SCORE:
            found.setdefault(encoder, {})[int(seed_text)] = value
    common.write(
        "encoders",
        metrics | compared(found),
        {},
        arguments.json,
        machine,
        dataset=source,
        dataset_hashes=hashes,
        seeds={encoder: sorted(scores) for encoder, scores in found.items()},
        trained_by=sorted(trained_by),
        settings=settings,
    )


if __name__ == "__main__":
    main()
