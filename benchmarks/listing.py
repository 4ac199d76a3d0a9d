"""How long `mmsr study list` and `mmsr study leaderboard` take, beside Optuna's own way to read.

Homes are made with many small studies in one SQLite file, and with one study of many trials; their
rows are written at once, since running so many trials would take days. Each command runs in a
process of its own, in turns with a program that shows the same by Optuna's public interface: it
loads each study with all of its trials. Seconds are of the whole process, the median of the
repeats; memory is its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import common

STUDIES, TRIALS_EACH, TRIALS = 300, 20, 50_000
QUICK_STUDIES, QUICK_TRIALS = 100, 5_000
EPOCHS = 10
OBJECTIVE = "valid/mrr@20"
BIG = "big"
LIST_SECONDS, LEADERBOARD_SECONDS, LEADERBOARD_GB = 2.0, 5.0, 0.5

COMMAND = """
import sys
from mmsr.cli.app import app
try:
    app()
finally:
    import common
    print(common.peak_rss_gb(), file=sys.stderr)
"""
BY_OPTUNA = """
import sys
import optuna
import common

def shown(name):
    trials = optuna.load_study(study_name=name, storage=sys.argv[1]).get_trials(deepcopy=False)
    done = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    best = sorted(done, key=lambda trial: -trial.value)[:10]
    print(name, len(done), len(trials), *(f"{trial.number}: {trial.value}" for trial in best))

optuna.logging.set_verbosity(optuna.logging.ERROR)
for name in sys.argv[2:]:
    shown(name)
print(common.peak_rss_gb(), file=sys.stderr)
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    return common.parser("Seconds and memory of `mmsr study list` and `mmsr study leaderboard`.")


def make_home(home: Path, studies: dict[str, int]) -> str:
    """Make a `$MMSR_HOME` with these studies, all of whose trials have ended.

    Parameters
    ----------
    home : where to make it; this process's `$MMSR_HOME` from then on.
    studies : numbers of trials, by name of the study.

    Returns
    -------
    URL of the storage.
    """
    from optuna.samplers import RandomSampler

    from mmsr.config import Config
    from mmsr.study.storage import database
    from mmsr.study.storage.definition import Definition
    from mmsr.study.storage.folder import StudyFolder, StudyRecord

    os.environ["MMSR_HOME"] = str(home)
    os.environ.pop("MMSR_STORAGE", None)
    url = database.default_storage()
    config = Config(dataset="demo")
    definition = Definition.of(
        dataset="demo",
        dataset_hash="0" * 64,
        protocol="leave-one-out",
        objective=OBJECTIVE,
        pruner="none",
        space={"model.width": "8 … 256"},
        base=config,
    )
    first, *others = studies
    study = database.open_study(
        database.open_storage(url),
        first,
        definition,
        known=(),
        trials=studies[first],
        sampler=RandomSampler(0),
        pruner=None,
    )
    uids = {first: database.study_uid(study), **{name: uuid.uuid4().hex for name in others}}
    with closing(sqlite3.connect(home / "optuna.db")) as connection:
        for name in others:
            _copy_study(connection, first, name, {"uid": uids[name], "trials": studies[name]})
        ids = dict(connection.execute("SELECT study_name, study_id FROM studies").fetchall())
        for name, trials in studies.items():
            _insert(connection, ids[name], trials, config.to_dict())
        connection.commit()
    for name in studies:
        folder = StudyFolder(name)
        folder.path.mkdir(parents=True)
        folder.write_record(
            StudyRecord(
                name=name,
                uid=uids[name],
                dataset="demo",
                objective=OBJECTIVE,
                storage=url,
                tracking=url,
                command=f"python {name}.py",
            )
        )
    return url


def _copy_study(
    connection: sqlite3.Connection, first: str, name: str, own: dict[str, object]
) -> None:
    """Write a study like the first one but for its own attributes, without trials."""
    connection.execute("INSERT INTO studies (study_name) VALUES (?)", (name,))
    for table, columns in {
        "study_directions": "direction, objective",
        "study_user_attributes": "key, value_json",
    }.items():
        connection.execute(
            f"INSERT INTO {table} (study_id, {columns}) SELECT last.study_id, {columns} "
            f"FROM {table} JOIN studies USING (study_id), studies AS last "
            "WHERE studies.study_name = ? AND last.study_name = ?",
            (first, name),
        )
    for key, value in own.items():
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = ? "
            "AND study_id = (SELECT study_id FROM studies WHERE study_name = ?)",
            (json.dumps(value), key, name),
        )


def _insert(
    connection: sqlite3.Connection, study_id: int, trials: int, config: dict[str, object]
) -> None:
    """Write trials as a driver leaves them; every fifth was stopped early."""
    first = (connection.execute("SELECT max(trial_id) FROM trials").fetchone()[0] or 0) + 1
    at = "2026-01-01 00:00:00"
    distribution = json.dumps(
        {
            "name": "IntDistribution",
            "attributes": {"log": False, "step": 1, "low": 8, "high": 256},
        }
    )
    numbers = range(trials)
    values = [(7919 * number % 99_991) / 100_000 for number in numbers]

    def attributes() -> Iterator[tuple[int, str, str]]:
        tree = json.dumps(config)
        code = json.dumps({"version": "0.1.0", "commit": "0" * 40, "package.torch": "2.13.0"})
        for number in numbers:
            metrics = {
                f"valid/{metric}@{k}": values[number]
                for metric in ("hr", "mrr", "ndcg")
                for k in (5, 10, 20)
            }
            outcome = {"best_epoch": 3, "epoch": EPOCHS, "seconds": 7.0, "best_metrics": metrics}
            for key, text in {
                "config": tree,
                "key": json.dumps(f"trial-{number:05d}"),
                "ray_trial_id": json.dumps(f"{number:08x}"),
                "driver": json.dumps("host:1"),
                "code": code,
                "outcome": json.dumps(outcome),
            }.items():
                yield first + number, key, text

    into = "INSERT INTO"
    connection.executemany(
        f"{into} trials VALUES (?, ?, ?, ?, ?, ?)",
        ((first + n, n, study_id, "PRUNED" if n % 5 == 4 else "COMPLETE", at, at) for n in numbers),
    )
    connection.executemany(
        f"{into} trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", attributes()
    )
    connection.executemany(
        f"{into} trial_params (trial_id, param_name, param_value, distribution_json) "
        "VALUES (?, 'model.width', ?, ?)",
        ((first + n, 8 + n % 249, distribution) for n in numbers),
    )
    connection.executemany(
        f"{into} trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')",
        ((first + n, values[n]) for n in numbers),
    )
    connection.executemany(
        f"{into} trial_intermediate_values "
        "(trial_id, step, intermediate_value, intermediate_value_type) VALUES (?, ?, ?, 'FINITE')",
        ((first + n, e, values[n] * e / EPOCHS) for n in numbers for e in range(1, EPOCHS + 1)),
    )


def measure(code: str, *words: str) -> tuple[float, float]:
    """Seconds and peak memory in GB of a program in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - start, float(done.stderr.split()[-1])


def compare(name: str, words: list[str], others: list[str], repeats: int) -> dict[str, float]:
    """Figures of a command, and of the program that shows the same by Optuna."""
    ours, theirs = [], []
    for _ in range(repeats):  # in turns: what else the machine does slows both alike
        ours.append(measure(COMMAND, *words))
        theirs.append(measure(BY_OPTUNA, *others))
    seconds, by_optuna = (statistics.median(s for s, _ in found) for found in (ours, theirs))
    return {
        f"{name}_seconds": seconds,
        f"{name}_rss_gb": max(memory for _, memory in ours),
        f"{name}_seconds_by_optuna": by_optuna,
        f"{name}_rss_gb_by_optuna": max(memory for _, memory in theirs),
        f"{name}_speedup": by_optuna / seconds,
    }


def main() -> None:
    """Measure, print, and write the result."""
    arguments = parser().parse_args()
    quick = arguments.quick
    machine = common.machine(seconds=0.5 if quick else 2.0)
    n_studies, n_trials = (QUICK_STUDIES, QUICK_TRIALS) if quick else (STUDIES, TRIALS)
    repeats = 1 if quick else 3
    figures: dict[str, float] = {"studies": n_studies, "trials": n_trials}
    with tempfile.TemporaryDirectory() as folder:
        names = {f"study-{number:03d}": TRIALS_EACH for number in range(n_studies)}
        url = make_home(Path(folder) / "many", names)
        figures |= compare("study_list", ["study", "list"], [url, *names], repeats)
        url = make_home(Path(folder) / "one", {BIG: n_trials})
        words = ["study", "leaderboard", BIG]
        figures |= compare("leaderboard", words, [url, BIG], repeats)
    bars = {
        key: common.at_most(limit, figures[key])
        for key, limit in {
            "study_list_seconds": LIST_SECONDS,
            "leaderboard_seconds": LEADERBOARD_SECONDS,
            "leaderboard_rss_gb": LEADERBOARD_GB,
        }.items()
    }
    common.write("listing", figures, bars, arguments.json, machine)


if __name__ == "__main__":
    main()
