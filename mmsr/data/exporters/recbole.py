"""Exports as RecBole's atomic files, with a config that makes RecBole read them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from mmsr.data.dataset import Dataset, FeatureTable
from mmsr.data.exporters.base import Exporter
from mmsr.data.exporters.histories import PARTS, ExportedHistories, slices
from mmsr.data.exporters.tables import list_of, vector_slices
from mmsr.data.progress import Advance, Reporter
from mmsr.data.splits import Prefixes
from mmsr.data.storage import column
from mmsr.errors import UserError

HISTORY = 50
"""Latest items of each history in RecBole's examples: its own default."""
_MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Texts that pandas, and so RecBole, reads as no value at all."""
_PADDING = "[PAD]"
_SUFFIXES = ("inter", "user", "item", "net", "link", "kg")
"""Endings of RecBole's own files, which no modality can have."""
_EXAMPLES_OF_ITS_OWN = "ml-100k"
"""Name for which RecBole reads files that come with it, wherever the data are."""
_GUIDE = """\
- `{name}/{name}.{{{parts}}}.inter`: RecBole's benchmark files, a row for each target: user_id,
  item_id_list (the latest {history} items before it) and item_id
- `{name}/{name}.inter`: all interactions, first items of histories included: user_id, item_id,
  timestamp, split; a user's rows are in the order of time
- `{name}/{name}.user`, `.item`: all users and items, with the items' texts
{vectors}
In this folder, with RecBole 1.2.1 and any of its sequential models:

    from recbole.quick_start import run_recbole

    run_recbole(model="SASRec", dataset="{name}", config_file_list=["{name}.yaml"])

(With torch 2.6 or later, RecBole's `torch.load` needs TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 in the
environment.)
"""
_VECTORS = "- `{name}/{name}.MODALITY`: vectors\n"
_WITH_VECTORS = """
With `"{name}-features.yaml"` as a second config file, RecBole loads the vectors, too:
`dataset.get_preload_weight("iid_MODALITY")` is the matrix of them. (RecBole 1.2.1 names
`numpy.float` there, which numpy 1.24 removed: set `numpy.float = float` first.)
"""
_WITHOUT_TEST = """
RecBole wants a test part. As test is not exported, the config names validation twice: **what
RecBole calls the test result is that of validation.**
"""


class RecBole(Exporter):
    """Atomic files: examples by part, interactions with a field `split`, items and vectors."""

    def check(self, dataset: Dataset) -> None:
        """Refuse ids and names that RecBole would read as something else."""
        if dataset.name == _EXAMPLES_OF_ITS_OWN:
            raise UserError(
                f"RecBole reads files of its own for the name {dataset.name!r}: import the data "
                "under another name"
            )
        for modality in dataset.modalities:
            if modality in _SUFFIXES:
                raise UserError(
                    f"RecBole has files of its own that end in .{modality}: import the data with "
                    "another name for this modality"
                )
        for name in dataset.item_table.column_names:
            if not name.isprintable() or ":" in name or '"' in name:
                raise UserError(
                    f"RecBole cannot read a column {name!r}: rename it, without colon, quote and "
                    "control characters"
                )
        check_ids(column(dataset.user_table, "user_id"), "user_id")
        check_ids(column(dataset.item_table, "item_id"), "item_id", blanks=False)

    def write(self, folder: Path, histories: ExportedHistories, reporter: Reporter) -> None:
        """Write the files and the configs."""
        dataset = histories.dataset
        base = folder / dataset.name / dataset.name
        base.parent.mkdir()
        with reporter.stage("writing interactions", len(histories.items)) as advance:
            _write_interactions(Path(f"{base}.inter"), histories, advance)
        for part in histories.part_names:
            examples = histories.examples(part)
            with reporter.stage(f"writing examples of {part}", len(examples)) as advance:
                _write_examples(Path(f"{base}.{part}.inter"), histories, examples, advance)
        with reporter.stage("writing users and items"):
            users = ((user,) for user in histories.user_ids.to_pylist())
            _write(Path(f"{base}.user"), ["user_id:token"], [users])
            _write_items(Path(f"{base}.item"), dataset)
        for modality in dataset.modalities:
            table = dataset.features(modality)
            with reporter.stage(f"writing {modality} features", len(table.items)) as advance:
                path = Path(f"{base}.{modality}")
                _write_vectors(path, modality, table, histories.item_ids, advance)
        _write_configs(folder, histories)

    def guide(self, histories: ExportedHistories) -> str:
        """The files, and how RecBole is run with them."""
        parts, name = ",".join(histories.part_names), histories.dataset.name
        vectors, more = "", ""
        if histories.dataset.modalities:
            vectors, more = _VECTORS.format(name=name), _WITH_VECTORS.format(name=name)
        text = _GUIDE.format(name=name, parts=parts, history=HISTORY, vectors=vectors) + more
        return text if histories.with_test else text + _WITHOUT_TEST


def check_ids(ids: pa.Array, name: str, *, blanks: bool = True) -> None:
    """Check that RecBole reads each id as itself.

    Parameters
    ----------
    ids : as the data set has them, without control characters.
    name : name of the column, for the error.
    blanks : whether ids may have blanks, which separate the items of a list.

    Raises
    ------
    UserError : an id would be read as something else; the message names it.
    """
    texts = pa.array((*_MISSING, _PADDING), ids.type)
    for bad, problem in (
        (pc.or_(pc.is_in(ids, texts), pc.utf8_is_space(ids)), "reads as no value, or as padding"),
        (pc.and_(pc.match_substring(ids, " "), not blanks), "splits at its blanks"),
    ):
        place = pc.index(bad, True).as_py()
        if place >= 0:
            raise UserError(
                f"the {name} {ids[place].as_py()[:60]!r} is one that RecBole {problem}: import the "
                "data with other ids, or export it with --to parquet"
            )


def _write_interactions(path: Path, histories: ExportedHistories, advance: Advance) -> None:
    fields = ["user_id:token", "item_id:token", "timestamp:float", "split:token"]

    def chunks() -> Iterator[Iterable[tuple[str, ...]]]:
        for rows in histories.rows():
            yield zip(
                histories.user_ids.take(pa.array(histories.users[rows])).to_pylist(),
                histories.item_ids.take(pa.array(histories.items[rows])).to_pylist(),
                as_seconds(histories.moments[rows]),
                (PARTS[part] for part in histories.parts[rows]),
                strict=True,
            )
            advance(rows.stop - rows.start)

    _write(path, fields, chunks())


def _write_examples(
    path: Path, histories: ExportedHistories, examples: Prefixes, advance: Advance
) -> None:
    fields = ["user_id:token", "item_id_list:token_seq", "item_id:token"]
    places = np.arange(len(examples))

    def chunks() -> Iterator[Iterable[tuple[str, ...]]]:
        for rows in slices(len(examples), 1 << 14):
            ends = examples.targets[rows]
            owners, items = examples.seen(places[rows], HISTORY)
            offsets = np.searchsorted(owners, np.arange(len(ends) + 1)).astype(np.int32)
            ids = histories.item_ids.take(pa.array(items)).cast(pa.string())
            lists = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), ids), " ")
            yield zip(
                histories.user_ids.take(pa.array(examples.users[rows])).to_pylist(),
                lists.to_pylist(),
                histories.item_ids.take(pa.array(histories.items[ends])).to_pylist(),
                strict=True,
            )
            advance(len(ends))

    _write(path, fields, chunks())


def _write_items(path: Path, dataset: Dataset) -> None:
    """Write ids and texts; RecBole sees a text as a sequence of words, which blanks separate."""
    names = dataset.item_table.column_names
    fields = [f"{name}:{'token' if name == 'item_id' else 'token_seq'}" for name in names]
    columns = [column(dataset.item_table, name) for name in names]

    def chunks() -> Iterator[Iterable[tuple[str, ...]]]:
        for rows in slices(dataset.n_items):
            ids, *texts = (
                part.slice(rows.start, rows.stop - rows.start).to_pylist() for part in columns
            )
            words = ([" ".join((text or "").split()) for text in texts_] for texts_ in texts)
            yield zip(ids, *words, strict=True)

    _write(path, fields, chunks())


def _write_vectors(
    path: Path, modality: str, table: FeatureTable, item_ids: pa.Array, advance: Advance
) -> None:
    def chunks() -> Iterator[Iterable[tuple[str, ...]]]:
        for rows in vector_slices(table):
            lists = list_of(table.vectors[rows])
            numbers = lists.values.cast(pa.string())
            texts = pc.binary_join(pa.ListArray.from_arrays(lists.offsets, numbers), " ")
            ids = item_ids.take(pa.array(table.items[rows]))
            yield zip(ids.to_pylist(), texts.to_pylist(), strict=True)
            advance(rows.stop - rows.start)

    _write(path, [f"iid_{modality}:token", f"vec_{modality}:float_seq"], chunks())


def _write(path: Path, fields: list[str], chunks: Iterable[Iterable[tuple[str, ...]]]) -> None:
    """Write rows of fields, between tabs; quotes as pandas reads them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(fields)
        for rows in chunks:
            writer.writerows(rows)


def as_seconds(moments: NDArray[Any]) -> list[str]:
    """Moments as RecBole's floats: numbers as they are, dates as seconds since 1970, in full.

    Parameters
    ----------
    moments : int64, float64 or datetime64 `[n]`.
    """
    if moments.dtype.kind != "M":
        return [repr(value) for value in moments.tolist()]
    digits = {"us": 6, "ns": 9}[np.datetime_data(moments.dtype)[0]]
    whole, ticks = 10**digits, moments.astype(np.int64).tolist()
    return [
        f"{Decimal(tick).scaleb(-digits):f}" if tick % whole else str(tick // whole)
        for tick in ticks
    ]


def _write_configs(folder: Path, histories: ExportedHistories) -> None:
    dataset, parts = histories.dataset, list(histories.part_names)
    fields: dict[str, list[str]] = {
        "inter": ["user_id", "item_id_list", "item_id"],
        "user": ["user_id"],
        "item": ["item_id"],
    }
    alias = ["item_id_list"]
    config = {
        "data_path": ".",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "benchmark_filename": parts if histories.with_test else [*parts, "valid"],
        "alias_of_item_id": alias,
        "load_col": fields,
        "MAX_ITEM_LIST_LENGTH": HISTORY,
        "train_neg_sample_args": None,
        "loss_type": "CE",
        "eval_args": {"order": "TO", "mode": "full"},
        "metrics": ["Hit", "MRR", "NDCG"],
        "topk": [5, 10, 20],
        "valid_metric": "MRR@20",
    }
    note = "" if histories.with_test else "# Test is not exported: validation stands for it.\n"
    _write_yaml(folder / f"{dataset.name}.yaml", config, note)
    names = dataset.modalities
    if names:
        more = {
            "alias_of_item_id": [*alias, *(f"iid_{name}" for name in names)],
            "load_col": fields | {name: [f"iid_{name}", f"vec_{name}"] for name in names},
            "additional_feat_suffix": list(names),
            "preload_weight": {f"iid_{name}": f"vec_{name}" for name in names},
        }
        note = f"# In addition to {dataset.name}.yaml: the vectors.\n"
        _write_yaml(folder / f"{dataset.name}-features.yaml", more, note)


def _write_yaml(path: Path, config: Mapping[str, object], note: str) -> None:
    path.write_text(note + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
