"""Robustness on test, measured while `finalize` has test open, and at no other time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmsr.config import Config
from mmsr.console import Console
from mmsr.evaluation.sweep import Mask, Ranks, Sweep, summarise
from mmsr.format import plural
from mmsr.provenance import provenance
from mmsr.robustness.record import record_robustness
from mmsr.robustness.request import RATES, parse_rates, parse_subsets
from mmsr.robustness.results import Results
from mmsr.robustness.run import write
from mmsr.robustness.view import show_results
from mmsr.study.results.rank_cache import KeptRanks, digest
from mmsr.study.storage.known_study import KnownStudy
from mmsr.study.storage.trials import TrialRow
from mmsr.study.views.unshipped import show_unshipped

if TYPE_CHECKING:
    from mmsr.data import Prefixes
    from mmsr.models.base import Recommender

MASK_SEEDS = (0, 1, 2)


class TestLook:
    """Ranks test under masks, model by model, while it is open; see `mmsr.study.results.held_out`.

    Ranks are cached by refit, so after an interruption only the missing ones are computed.

    Parameters
    ----------
    known : the finalized study.
    progress : called with messages for the user.
    """

    __test__ = False  # despite its name, pytest must not collect it

    def __init__(
        self, known: KnownStudy, progress: Callable[[str], None] = lambda message: None
    ) -> None:
        self.known, self._progress = known, progress
        self.opened = False
        self._folder = known.folder.path / "robustness" / "test-ranks"
        self._metric = known.definition.objective.removeprefix("valid/")
        self._users: NDArray[np.int32] | None = None
        self._ranks: dict[int, dict[Mask, list[Ranks]]] = {}
        self._configs: dict[int, Config] = {}
        self._sweeps: dict[int, Sweep] = {}

    def __call__(self, row: TrialRow, model: Recommender, test: Prefixes) -> None:
        """Rank test with one refit under all masks.

        Parameters
        ----------
        row : the refit's trial.
        model : its model.
        test : the opened test prefixes.
        """
        self.opened = True
        if row.config is None or not model.tables.modalities:
            return
        trial = int(row.settings["trial"])
        sweep = Sweep(
            parse_subsets(None, model.tables.modalities),
            parse_rates(RATES),
            MASK_SEEDS,
            self._metric,
        )
        self._users, self._sweeps[trial] = test.users, sweep
        self._configs.setdefault(trial, row.config)
        kept = KeptRanks(self._folder, digest(f"{row.number} {row.config.to_yaml()}", 16))
        ranks = self._ranks.setdefault(trial, {})
        masks = sweep.masks()
        for place, mask in enumerate(masks, start=1):
            self._progress(f"test: trial {trial}, point {place} of {len(masks)}")
            rank = partial(mask.rank, model, test, row.config)
            ranks.setdefault(mask, []).append(kept.get(str(mask), rank))

    def results(self) -> Mapping[int, Results]:
        """The results, by the number of the trial that had the config."""
        if self._users is None:
            return {}
        definition = self.known.definition
        found = {}
        for trial, ranks in self._ranks.items():
            refits = len(next(iter(ranks.values())))
            found[trial] = Results(
                name=self.known.name,
                origin=f"{plural(refits, 'refit')} of trial {trial}",
                part="test",
                trial=trial,
                dataset=definition.dataset,
                dataset_hash=definition.dataset_hash,
                protocol=definition.protocol,
                config=self._configs[trial].to_dict(),
                **provenance(),
                curves=summarise(self._sweeps[trial], ranks, self._users),
                knockouts=None,
            )
        return found


def report_test(look: TestLook, console: Console) -> None:
    """Show, write and record the results on test, or say why there are none.

    Parameters
    ----------
    look : the results.
    console : where to show them.
    """
    found = look.results()
    if not found:
        why = (
            "the models have no modalities: nothing can go missing"
            if look.opened
            else "test was not opened by this call, so nothing was measured on it; "
            "`mmsr robustness` measures on validation"
        )
        console.print(f"robustness: {why}", soft_wrap=True)
    for trial, results in found.items():
        show_results(results, console)
        files = write(results, look.known.folder.path / "robustness" / f"trial-{trial:05d}")
        for path in files:
            console.print(f"wrote {path}", soft_wrap=True)
        left = record_robustness(look.known, results, files)
        show_unshipped(left, look.known.name, console)
