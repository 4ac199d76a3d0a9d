"""The energy of a study's trials, in words."""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.console import Console
from mmsr.format import plural, short
from mmsr.study.storage.trials import TrialRow


def kwh_of(found: Sequence[TrialRow]) -> float | None:
    """What trials have used together, in kWh; None if none was measured.

    Parameters
    ----------
    found : the trials.
    """
    return _sum([row.energy.kwh for row in found])


def energy_in_words(found: Sequence[TrialRow]) -> dict[str, str]:
    """What trials have used together, and of how many it is known; empty if none was measured.

    Parameters
    ----------
    found : the trials.
    """
    told = {}
    for what, figures, unit in (
        ("energy", [row.energy.kwh for row in found], "kWh"),
        ("CO2 equivalents", [row.energy.co2_kg for row in found], "kg"),
    ):
        if (total := _sum(figures)) is not None:
            n = len(figures) - figures.count(None)
            told[f"{what} of {plural(n, 'trial')}"] = f"{short(total)} {unit}"
    return told


def unmeasured(found: Sequence[TrialRow]) -> str:
    """Why trials that should have been measured were not, in a sentence; empty if all were.

    Parameters
    ----------
    found : the trials.
    """
    reasons = [row.energy.lacking for row in found if row.energy.lacking]
    if not reasons:
        return ""
    whose = "; reason of the first" if len(reasons) > 1 else ""
    return f"energy of {plural(len(reasons), 'trial')} was not measured{whose}: {reasons[0]}"


def show_energy(found: Sequence[TrialRow], console: Console) -> None:
    """Show what the trials have used, if that was measured, or why it could not be.

    Parameters
    ----------
    found : all trials of the study.
    console : where to show it.
    """
    for what, figure in energy_in_words(found).items():
        console.print(f"{what}: {figure} (an estimate)")
    if lacking := unmeasured(found):
        console.print(lacking, soft_wrap=True)


def _sum(figures: Sequence[float | None]) -> float | None:
    known = [one for one in figures if one is not None]
    return sum(known) if known else None
