"""What a call for table 2 would run, before it runs."""

from __future__ import annotations

from mmsr.console import Console
from mmsr.format import plural
from mmsr.reproduce.models.search import SearchRequest
from mmsr.study.views.dry_run import show_plan


def show_search(search: SearchRequest, console: Console) -> None:
    """Show what the files have, what would be refitted, and the search.

    Parameters
    ----------
    search : what to search.
    console : where to show it.
    """
    for line in _lines(search):
        console.print(line, soft_wrap=True)
    if search.searches:
        show_plan(search.plan)
    else:
        console.print("nothing to search; dry run: nothing was scheduled")


def _lines(search: SearchRequest) -> list[str]:
    tested = search.kept.tested
    lines = [
        f"{search.kept.path} has {label}: {plural(len(row.finished), 'seed')}, not searched again"
        for label, row in tested.items()
    ]
    if not search.unfinished:
        return [*lines, "all rows and seeds are in the files: nothing to run, test stays closed"]
    finished = [len(tested[r.label].finished) for r in search.unfinished if r.label in tested]
    refits = search.n_seeds * len(search.unfinished) - sum(finished)
    labels = ", ".join(row.label for row in search.unfinished)
    return [
        *lines,
        f"after the search: {plural(refits, 'refit')} of the best trials of {labels}; then test "
        "is opened, and each refit ranks it once",
    ]
