"""`mmsr data import`: make a data set from tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsr.cli.data.options import Core, Overwrite, Protocol, show_prepared
from mmsr.errors import UserError
from mmsr.urls import is_uri

if TYPE_CHECKING:
    from mmsr.data import Sources
    from mmsr.data.progress import Reporter


def import_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name for the data set.")],
    interactions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of user_id, item_id, timestamp: a file, a folder of files, a pattern in "
            "quotes, or an address such as `s3://BUCKET/FILE`. So are the other tables.",
        ),
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Table of item_id and any of title, description, brand, categories, image.",
        ),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=FILE",
            help="Table of item_id and vector, for a modality such as image or text; or "
            "`VECTORS.npy,IDS.txt`, or `.npz` with `ids` and `vectors`; repeatable.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Folder or file of another library, in place of `--interactions`.",
        ),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="What `--from` names: `recbole`, `mmrec`, `rectools` or `sequences` (lines "
            "`user item item …`). Default: told by the files.",
        ),
    ] = None,
    protocol: Protocol = "ratio",
    test_from: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT",
            help="With `temporal` and `cold-items`: first moment of test. Default: the last 20 % "
            "of interactions.",
        ),
    ] = None,
    core: Core = 5,
    text_from: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Item columns to encode as modality text where no text features are given. "
            "Default: title, description, brand, categories, as far as they exist.",
        ),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Do not encode text columns as a modality.")
    ] = False,
    text_width: Annotated[
        int, typer.Option(metavar="N", help="Most dimensions of encoded text, with `tfidf`.")
    ] = 128,
    text_encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What encodes texts: `tfidf`, `minilm`, `model2vec[:MODEL]`, "
            "`sentence-transformers:MODEL`, `huggingface:MODEL`, or an import path.",
        ),
    ] = "tfidf",
    image_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What encodes images as modality image: `efficientnet-lite0`, `torchvision:NAME`, "
            "`timm:NAME`, `open-clip:NAME/WEIGHTS`, or an import path. Default: none.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of images: of the paths in the items' column image, and of files named "
            "by item id, e.g. B000.jpg. Default: the folder of the items table.",
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="Where encoders run: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`."
        ),
    ] = "auto",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN,…",
            help="Columns that have other names in your files, e.g. "
            "`user_id=reviewerID,item_id=asin`; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of `tfidf`.")] = 2023,
    overwrite: Overwrite = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Ray cluster, e.g. `auto`, whose nodes read and sort the interactions where they "
            "are larger than this disk; all must see the files. Default: this machine alone.",
        ),
    ] = None,
) -> None:
    """Import a data set from tables: CSV, TSV, JSONL (each also .gz) or Parquet.

    Or from what another library has: `--from FOLDER`. Several files, by a folder or a pattern, are
    read in the order of their names, and must have the same columns.

    Rules:

    - Interactions that repeat user, item and timestamp of an earlier row are left out. The same
      item at another time is a repeat, and stays.

    - Then users and items with fewer than `--core` interactions are removed, until all have enough.

    - Histories follow the timestamps: numbers, or ISO dates (UTC where no zone is given). Ties
      keep the order of the file.

    - Items that the items table or a features table does not list stay, without metadata or
      vector. Rows for items without interactions are left out.

    - An item may be listed twice in a table only with the same content.

    - A table that lists none of the items is refused; for one that lists less than half of them, a
      warning says what differs in the ids.

    - Ids are text: 7 and "7" are the same id, "07" is another. Ids and timestamps that floats
      cannot keep are refused.

    - In CSV, quotes go around whole fields, and a quote within is written twice. TSV is read
      without quoting. JSONL has one object per line.

    - Vectors are lists, or text: JSON lists, or numbers with decimal points between blanks.

    - Images are paths, URLs (http, https) or files named by item id. Vectors are kept by content:
      an import that was interrupted encodes what is missing. What cannot be read is listed in
      `without_vectors.csv` of the data set, and has no vector.

    Repeating a command does nothing; other inputs under the same name need `--overwrite`.
    """
    from mmsr.cli.views.progress import ConsoleReporter
    from mmsr.data import ImportSettings, prepare
    from mmsr.data.importers.foreign.given import Given, opened

    if no_text and text_from is not None:
        raise UserError("--text-from and --no-text contradict each other: leave one of them out")
    chosen = {
        "protocol": protocol,
        "test_from": test_from,
        "core": core,
        "text": not no_text,
        "text_from": None if text_from is None else _names(text_from),
        "text_width": text_width,
        "text_encoder": text_encoder,
        "image_encoder": image_encoder,
        "seed": seed,
    }
    named = _pairs("--columns", [part for text in columns or () for part in text.split(",")])
    ImportSettings.checked(**chosen)  # before anything is fetched
    given = Given(interactions, items, _pairs("--features", features or ()), from_, format_)
    given.check()
    if address is not None:
        _check_cluster(address, interactions or from_ or "")
    with ExitStack() as stack:
        sources, laid_out, reporter = stack.enter_context(opened(given, ConsoleReporter()))
        if address is not None:
            sources = stack.enter_context(_on_cluster(sources, address, reporter))
        settings = ImportSettings.checked(**chosen, columns=laid_out | named)
        prepared = prepare(
            name,
            replace(sources, images=images),
            settings,
            overwrite=overwrite,
            reporter=reporter,
            device=device,
        )
    show_prepared(prepared, "imported")


def _check_cluster(address: str, interactions: str) -> None:
    """Refuse, before anything is fetched, interactions or a cluster that cannot be used."""
    from mmsr.study.workers.addresses import check_address

    if is_uri(interactions):
        raise UserError(
            "--address: the interactions are in an object store, from which this machine would "
            "fetch them: give files that all nodes see, or leave --address out"
        )
    check_address(address)


@contextmanager
def _on_cluster(sources: Sources, address: str, reporter: Reporter) -> Iterator[Sources]:
    """Context in which the nodes of a cluster read and sort the interactions."""
    from mmsr.study.workers.cluster import is_free, ray_cluster
    from mmsr.study.workers.distributed import distributed
    from mmsr.study.workers.resources import Resources

    interactions = distributed(sources.interactions)
    with ray_cluster(address):
        if not is_free(Resources()):
            reporter.note("no node of the cluster has a free CPU: the import waits until one has")
        yield replace(sources, interactions=interactions)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UserError(f"--text-from {text!r}: write different column names, separated by commas")
    return names


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE arguments, each name once."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            example = {"--features": "image=image.parquet"}.get(option, "user_id=reviewerID")
            raise UserError(f"{option} {text!r}: write NAME=VALUE, e.g. {option} {example}")
        if name in pairs:
            raise UserError(f"{option}: {name!r} is given twice: give it once")
        pairs[name] = value
    return pairs
