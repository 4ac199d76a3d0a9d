"""Checkpoints that nothing reads any more.

Of a finished trial, the model of its best epoch is needed: to finalize, to measure robustness. The
files that serve to resume it are not. Of a trial that was stopped early, nothing is needed. A
failed or interrupted trial may be resumed, so all of it stays.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from optuna.trial import TrialState

from mmsr.study.storage.attributes import predecessor
from mmsr.study.storage.folder import StudyFolder
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.lineage import RESUMPTION_FILES, trial_folder

RESUMPTION, STOPPED = "files to resume finished trials", "checkpoints of trials stopped early"


def unneeded(name: str) -> dict[str, list[Path]]:
    """Files that are not needed of the trials of a study, by what they are; none while it runs.

    Parameters
    ----------
    name : name of the study.

    Raises
    ------
    UserError : the study cannot be read.
    """
    folder = StudyFolder(name)
    return {} if folder.is_running() else _unneeded(folder)


def remove(name: str) -> None:
    """Remove what is not needed of the trials of a study.

    Parameters
    ----------
    name : name of the study.

    Raises
    ------
    UserError : the study is being run, or cannot be read.
    """
    folder = StudyFolder(name)
    with folder.locked():
        for path in (path for files in _unneeded(folder).values() for path in files):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # there are other files in it
                path.parent.rmdir()


def _unneeded(folder: StudyFolder) -> dict[str, list[Path]]:
    ray = folder.ray
    if not isinstance(ray, Path) or not ray.is_dir():
        return {}
    found: dict[str, list[Path]] = {RESUMPTION: [], STOPPED: []}
    trials = look_up(folder.name).study.get_trials(deepcopy=False)
    after = {before: trial.number for trial in trials if (before := predecessor(trial)) is not None}
    for trial in trials:
        last = trial.number
        while last in after:  # what became of an earlier attempt is what became of the last one
            last = after[last]
        state = trials[last].state
        for checkpoint in ray.glob(f"{trial_folder(ray, trial.number).name}/checkpoint_*"):
            files = sorted(path for path in checkpoint.iterdir() if path.is_file())
            if state == TrialState.COMPLETE:
                found[RESUMPTION] += [path for path in files if path.name in RESUMPTION_FILES]
            elif state == TrialState.PRUNED:
                found[STOPPED] += files
    return found
