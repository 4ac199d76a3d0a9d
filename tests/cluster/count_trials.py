"""Check that a study's trials are over, each once, in Optuna and MLflow alike; for `onprem.sh`."""

from __future__ import annotations

import sys
from collections import Counter

from mlflow import MlflowClient

from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows
from mmsr.study.views.tables import summary


def main(name: str, storage: str, tracking: str, expected: int) -> None:
    found = rows(look_up(name, storage).study)
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], "tags.`mmsr.kind` = 'trial'")
    numbers = Counter(int(run.data.tags["mmsr.optuna_number"]) for run in runs)
    assert len(found) == expected, f"{len(found)} trials in Optuna, not {expected}"
    assert numbers == Counter(row.number for row in found), "MLflow has other trials"
    assert not {run.info.status for run in runs} & {"RUNNING", "SCHEDULED"}, "runs left open"
    recovered = sum("mmsr.recovered" in run.data.tags for run in runs)
    print(f"          {summary(found)}; {len(runs)} runs; {recovered} went on on another worker")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
