"""From a subject to its results: rank at every point, knock out, summarise, write."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsr.data import Prefixes
from mmsr.errors import UserError
from mmsr.evaluation.knockouts import Knockouts, knock_out
from mmsr.evaluation.robustness import links_of, rank_linked
from mmsr.evaluation.sweep import Mask, Sweep, run_sweep
from mmsr.graph.masks import Links
from mmsr.robustness.plots import draw_html, draw_png
from mmsr.robustness.results import NAME, Results
from mmsr.study.driver.reporting import code_version
from mmsr.study.results.measured_model import Subject
from mmsr.study.results.rank_cache import KeptRanks, model_key

Progress = Callable[[str], None]


def measure(
    subject: Subject,
    sweep: Sweep,
    folder: Path,
    *,
    device: str = "auto",
    progress: Progress = lambda message: None,
) -> Results:
    """Curves and knock-outs of a subject on validation targets.

    Codes, model and histories are loaded once; between two points only links change. Ranks are
    kept in `folder`, so an interrupted call goes on where it was.

    Raises
    ------
    UserError : the device is not there, or the folder cannot be written.
    """
    _make(folder)
    subject.prepare(progress, device)
    valid = subject.dataset.valid()
    rank = ranked(subject, folder, valid, device=device)

    def tell(done: int, total: int) -> None:
        progress(f"point {done + 1} of {total}")

    curves = run_sweep(sweep, lambda mask: [rank(mask)], valid.users, tell)
    return Results(
        name=subject.name,
        origin=subject.origin,
        part="valid",
        trial=subject.trial,
        dataset=subject.dataset.name,
        dataset_hash=subject.dataset.content_hash,
        protocol=subject.dataset.protocol,
        config=subject.config.to_dict(),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code=code_version(),
        curves=curves,
        knockouts=knockouts(subject, folder, valid, device=device, progress=progress),
    )


def ranked(
    subject: Subject, folder: Path, prefixes: Prefixes, *, device: str = "auto"
) -> Callable[[Mask], NDArray[np.int64]]:
    """How a subject ranks some targets under a mask; ranks are kept in `folder`."""
    model, config = subject.load(device), subject.config
    kept = _kept(subject, folder, prefixes)

    def rank(mask: Mask) -> NDArray[np.int64]:
        own = mask.within(model.tables.modalities)
        return kept.get(str(own), lambda: own.rank(model, prefixes, config))

    return rank


def knockouts(
    subject: Subject,
    folder: Path,
    prefixes: Prefixes,
    *,
    device: str = "auto",
    progress: Progress = lambda message: None,
) -> Knockouts:
    """Knock-outs of a subject on some targets; ranks are kept as those of `measure` are."""
    model, config = subject.load(device), subject.config
    kept = _kept(subject, folder, prefixes)

    def rank(links: Mapping[str, Links]) -> NDArray[np.int64]:
        what = " ".join(f"{m} {hash_of(link)}" for m, link in sorted(links.items()))
        return kept.get(what, lambda: rank_linked(model, prefixes, config, links))

    own = links_of(model)
    seen = {m: own[m] for m in own if (own[m] >= 0).any()}
    return knock_out(
        seen, rank, prefixes.users, subject.metric, lambda label: progress(f"knock-out: {label}")
    )


def hash_of(links_IK: Links) -> str:
    """What tells links from others."""
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(links_IK).data).hexdigest()[:16]


def _kept(subject: Subject, folder: Path, prefixes: Prefixes) -> KeptRanks:
    settings: dict[str, object] = {
        "data": subject.dataset.content_hash,
        "config": subject.config.to_dict(),
        "targets": f"valid {len(prefixes)}",
    }
    return KeptRanks(folder / "ranks", model_key(subject.checkpoint / "best.safetensors", settings))


def write(results: Results, folder: Path) -> tuple[Path, Path, Path]:
    """Write JSON, a PNG and an interactive page; returns their paths.

    Raises
    ------
    UserError : the folder cannot be written.
    """
    _make(folder)
    paths = tuple(folder / f"{NAME}-{results.part}{end}" for end in (".json", ".png", ".html"))
    try:
        paths[0].write_text(results.model_dump_json(indent=1) + "\n")
        draw_png(results, paths[1])
        draw_html(results, paths[2])
    except OSError as error:
        raise _unwritable(folder, error) from None
    return paths[0], paths[1], paths[2]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> UserError:
    reason = error.strerror or error
    return UserError(f"cannot write to {str(folder)!r}: {reason}; name another --output")
