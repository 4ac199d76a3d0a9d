"""Knock-outs in a study's report: what each modality is to the best trial's model."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from mmsr.data import Prefixes
from mmsr.errors import UserError
from mmsr.evaluation.knockouts import Knockouts
from mmsr.study.results.measured_model import Subject, best_of_study
from mmsr.study.storage.known_study import KnownStudy

MOST_TARGETS = 20_000
"""Of large data sets so many validation targets, of users drawn by seed, so that it stays quick."""


class TrialKnockouts(BaseModel):
    """`knockouts.json`: knock-outs of one trial's model."""

    model_config = ConfigDict(frozen=True)

    trial: int
    dataset_hash: str
    knockouts: Knockouts


def read_knockouts(known: KnownStudy) -> TrialKnockouts | None:
    """What is known of a study's modalities; None where nothing is."""
    try:
        text = known.folder.knockouts.read_text()
        return TrialKnockouts.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def report_knockouts(known: KnownStudy, console: Console) -> None:
    """Say what each modality is to the best trial's model; it is worked out once for a trial.

    Says nothing of models that have no modalities, or whose weights are not here.
    """
    try:
        subject = best_of_study(known)
    except UserError:
        return
    if not (subject.checkpoint / "best.safetensors").is_file() or not subject.modalities:
        return
    there = read_knockouts(known)
    if there is None or there.trial != subject.trial:
        console.print(f"knocking out modalities of trial {subject.trial} …", style="dim")
        try:
            there = _knock_out(known, subject)
        except UserError as error:  # the study is over all the same
            console.print(f"modalities: {error}", style="dim", markup=False, soft_wrap=True)
            return
    say(there, console)


def say(found: TrialKnockouts, console: Console) -> None:
    """A line for each modality."""
    console.print(f"modalities, by shuffling the codes of trial {found.trial} on validation:")
    for line in found.knockouts.verdicts():
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _knock_out(known: KnownStudy, subject: Subject) -> TrialKnockouts:
    from mmsr.robustness.run import knockouts

    found = TrialKnockouts(
        trial=subject.trial or 0,
        dataset_hash=subject.dataset.content_hash,
        knockouts=knockouts(
            subject,
            known.folder.path / "robustness",
            some_targets(subject.dataset.valid(), MOST_TARGETS),
            device="cpu",
        ),
    )
    known.folder.write(known.folder.knockouts.name, found.model_dump_json(indent=1))
    return found


def some_targets(prefixes: Prefixes, most: int) -> Prefixes:
    """All targets of users drawn by seed, as many as make at most about `most`."""
    if len(prefixes) <= most:
        return prefixes
    users = np.unique(prefixes.users)
    share = most / len(prefixes)
    drawn = np.random.default_rng(0).permutation(users)[: max(int(share * len(users)), 1)]
    rows = np.flatnonzero(np.isin(prefixes.users, drawn))
    return Prefixes(
        prefixes.items, prefixes.starts[rows], prefixes.targets[rows], prefixes.users[rows]
    )
