"""A shop whose texts and images fake encoders read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsr.data import ImportSettings, Prepared, Sources, prepare
from mmsr.data.progress import Silent

from .fakes import calls


class Notes(Silent):
    """A reporter that keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


class Shop:
    """Imports twelve items `i0` to `i11`; knows what the encoder did and what was said."""

    def __init__(self, rows: Path, write_table: Callable[..., Path], log: Path) -> None:
        self.rows, self._write, self._log = rows, write_table, log
        self.said: list[str] = []

    def make(
        self,
        items: dict[str, list[Any]] | None = None,
        *,
        name: str = "d",
        images: Path | None = None,
        overwrite: bool = False,
        **settings: Any,
    ) -> Prepared:
        table = None
        if items is not None:
            table = self._write("items.parquet", {"item_id": [f"i{i}" for i in range(12)], **items})
        notes = Notes()
        try:
            return prepare(
                name,
                Sources(self.rows, table, images=images),
                ImportSettings(**settings),
                overwrite=overwrite,
                reporter=notes,
            )
        finally:
            self.said = notes.said

    def encoded(self) -> list[Any]:
        """What was encoded since the last call of this, in order."""
        found = [one for batch in self.batches() for one in batch]
        self._log.unlink(missing_ok=True)
        return found

    def batches(self) -> list[list[Any]]:
        return calls(self._log)

    def vectors(self, prepared: Prepared, modality: str) -> dict[str, list[float]]:
        table = prepared.dataset.features(modality)
        ids = prepared.dataset.item_ids
        return {ids[i]: v.tolist() for i, v in zip(table.items, table.vectors, strict=True)}


@pytest.fixture
def shop(
    home: Path,
    tmp_path: Path,
    purchases: dict[str, list[Any]],
    write_table: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    log = tmp_path / "encoded.jsonl"
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return Shop(write_table("rows.csv", purchases), write_table, log)
