"""What commands show, as trees of names and numbers for programs (`--json`, `--csv`).

Metrics and other shares are in [0, 1], times in seconds; what is not known is None. The keys are
documented in docs/cli.md, and scripts rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsr.cli.views.model import Entry
    from mmsr.config import Config
    from mmsr.data.manifest import Manifest
    from mmsr.data.openings import RecordedOpening
    from mmsr.study.results.references import ReferenceLine
    from mmsr.study.storage.known_study import KnownStudy
    from mmsr.study.storage.trials import TrialRow
    from mmsr.study.views.studies import StudyLine
    from mmsr.training.cost import PartCost

DATASETS = ("name", "users", "items", "interactions", "protocol", "modalities", "content_hash")
STUDIES = ("name", "dataset", "objective", "state", "done", "wanted", "best")
TRIALS = ("trial", "state", "model", "epochs", "value", "seconds", "error")
PLACES = (
    "place",
    "trial",
    "state",
    "model",
    "value",
    "best_epoch",
    "epochs",
    "seconds",
    "energy_kwh",
)
ENTRIES = ("key", "name", "text", "source")
PARTS = ("name", "parameters", "forward", "step", "kept_bytes")
"""Columns that a table always has, in their order."""


def of_manifest(name: str, manifest: Manifest) -> dict[str, Any]:
    """A data set in the list.

    Parameters
    ----------
    name, manifest : name and manifest of the data set.
    """
    counts = manifest.counts
    return {
        "name": name,
        "users": counts.users,
        "items": counts.items,
        "interactions": counts.interactions,
        "protocol": manifest.protocol,
        "modalities": sorted(manifest.modalities),
        "content_hash": manifest.content_hash,
    }


def of_dataset(
    name: str, manifest: Manifest, openings: Sequence[RecordedOpening], set_apart_at: str | None
) -> dict[str, Any]:
    """A data set with all that is known of it.

    Parameters
    ----------
    name, manifest : name and manifest of the data set.
    openings, set_apart_at : as for `mmsr.cli.views.data.description`.
    """
    counts = manifest.counts
    return {
        "name": name,
        "content_hash": manifest.content_hash,
        "protocol": manifest.protocol,
        "valid_from": manifest.valid_from,
        "test_from": manifest.test_from,
        "counts": {
            **counts.model_dump(),
            "mean_history": counts.mean_history,
            "sparsity": counts.sparsity,
        },
        "history_lengths": {str(n): users for n, users in sorted(manifest.history_lengths.items())},
        "modalities": {
            modality: {**coverage.model_dump(), "share": coverage.items / counts.items}
            for modality, coverage in sorted(manifest.modalities.items())
        },
        "provenance": manifest.provenance.model_dump(mode="json"),
        "openings": [opening.model_dump(mode="json") for opening in openings],
        "recorded_since": set_apart_at,
    }


def of_study_line(line: StudyLine) -> dict[str, Any]:
    """A study in the list.

    Parameters
    ----------
    line : its line.
    """
    return {
        "name": line.name,
        "dataset": line.dataset or None,
        "objective": line.objective or None,
        "state": line.state,
        "done": line.over,
        "wanted": line.wanted,
        "best": line.best,
    }


def of_status(known: KnownStudy, state: str, shown: Mapping[int, str]) -> dict[str, Any]:
    """How far a study is.

    Parameters
    ----------
    known : the study.
    state : its state.
    shown : the state of each trial that is shown, by number.
    """
    definition, extent = known.definition, known.overview.extent
    record = known.folder.read_record()
    return {
        "name": known.name,
        "state": state,
        "done": extent.over,
        "wanted": extent.wanted,
        "budget_used_up": extent.used_up,
        "best": known.overview.best,
        "objectives": list(definition.objectives),
        "dataset": definition.dataset,
        "dataset_hash": definition.dataset_hash,
        "protocol": definition.protocol,
        "trainer": definition.trainer,
        "storage": str(known.storage),
        "tracking": str(known.tracking),
        "command": None if record is None else record.command,
        "directory": None if record is None else record.directory,
        "trials": [of_trial(row, shown[row.number]) for row in known.rows(shown)],
        "outside": [
            {"trial": number, "reason": known.reason_outside(number)}
            for number in known.overview.outside
        ],
    }


def of_trial(row: TrialRow, state: str) -> dict[str, Any]:
    """A trial.

    Parameters
    ----------
    row : the trial.
    state : its state, as it is shown.
    """
    return {
        "trial": row.number,
        "state": state,
        "model": row.model,
        "epochs": row.epochs,
        "value": row.value,
        "seconds": row.seconds,
        "error": row.error,
    }


def of_leaderboard(
    known: KnownStudy,
    best: Sequence[TrialRow],
    lines: Sequence[ReferenceLine],
    front: Sequence[int] = (),
) -> dict[str, Any]:
    """The best trials and the reference lines.

    Parameters
    ----------
    known : the study.
    best : its best trials.
    lines : the reference lines.
    front : numbers of the trials on the Pareto front.
    """
    return {
        "name": known.name,
        "objectives": list(known.definition.objectives),
        "trials": [
            {
                "place": place if row.state == "finished" else None,
                "trial": row.number,
                "state": row.state,
                "model": row.model,
                "value": row.value,
                "best_epoch": row.best_epoch,
                "epochs": row.epochs,
                "seconds": row.seconds,
                "energy_kwh": row.energy.kwh,
                "metrics": row.metrics,
                "settings": row.settings,
            }
            for place, row in enumerate(best, start=1)
        ],
        "pareto_front": list(front),
        "references": [
            {"name": line.label, "metrics": line.metrics, "left_out": line.left_out or None}
            for line in lines
        ],
    }


def places(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials of `of_leaderboard` as flat records: metrics and settings are columns.

    Parameters
    ----------
    tree : what `of_leaderboard` has returned.
    """
    return [
        {**{name: trial[name] for name in PLACES}, **trial["metrics"], **trial["settings"]}
        for trial in tree["trials"]
    ]


def of_registry(found: Mapping[str, Sequence[Entry]]) -> list[dict[str, Any]]:
    """What configs can name, by config key.

    Parameters
    ----------
    found : entries by key.
    """
    return [
        {"key": key.partition(",")[0], **asdict(entry)}
        for key, own in found.items()
        for entry in own
    ]


def of_costs(config: Config, parts: Sequence[PartCost]) -> dict[str, Any]:
    """What a model costs for one batch.

    Parameters
    ----------
    config : what the model was made from.
    parts : the cost of each part.
    """
    found = [{name: getattr(part, name) for name in PARTS} for part in parts]
    total = {name: sum(part[name] for part in found) for name in PARTS[1:]}
    return {"config": config.to_dict(), "parts": found, "total": total}
