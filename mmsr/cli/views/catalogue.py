"""How public data sets and their files are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from mmsr.data.catalogue.entries import Entry
from mmsr.data.catalogue.fetch import Fetched
from mmsr.format import data_size, plural


def overview(entries: Sequence[Entry]) -> Table:
    """A table of public data sets with the roles of their files.

    Parameters
    ----------
    entries : the data sets.
    """
    table = Table(box=None, pad_edge=False)
    for column in ("name", "data set", "files"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(*map(Text, (entry.name, entry.title, ", ".join(entry.roles()))))
    return table


def fetched(files: Sequence[Fetched]) -> Iterator[str]:
    """Lines that say what is there now, one for each data set.

    Parameters
    ----------
    files : the files of one or several data sets.
    """
    for entry in dict.fromkeys(file.entry for file in files):
        own = [file for file in files if file.entry is entry]
        size = data_size(sum(file.path.stat().st_size for file in own))
        fresh = sum(file.fresh for file in own)
        verb = "fetched" if fresh else "nothing to fetch for"
        kept = f", {fresh} of them new" if 0 < fresh < len(own) else ""
        yield f"{verb} {entry.name}: {plural(len(own), 'file')}{kept}, {size}, in {entry.folder}"
