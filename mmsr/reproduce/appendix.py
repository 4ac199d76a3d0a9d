"""What stands below every table as Markdown: comparisons with one row, and the provenance."""

from __future__ import annotations

from collections.abc import Mapping

from mmsr.format import markdown_table
from mmsr.reproduce.results import Results
from mmsr.study.results.comparison import SeedComparison


def origin(results: Results) -> str:
    """The provenance of `results` as a Markdown list."""
    versions = ", ".join(f"{name} {value}" for name, value in results.code.items())
    runs = [seed for row in results.rows for seed in row.finished]
    told = {
        "command": f"`{results.command}` (the newest)",
        "study": results.study,
        "data": f"{results.dataset} ({results.protocol}), {results.dataset_hash}",
        "epochs": f"at most {results.epochs}, patience {results.patience}",
        "settings of all rows": ", ".join(f"{k} {v}" for k, v in results.config.items()),
        "commits of the runs": ", ".join(sorted({run.commit or "unknown" for run in runs})),
        "code": versions,
        "made": results.created_at,
    }
    return "\n".join(f"- {name}: {text}" for name, text in told.items())


def comparisons(of: Mapping[str, Mapping[str, SeedComparison]]) -> str:
    """Comparisons with one row as a Markdown table.

    Parameters
    ----------
    of : the comparisons of each row, by its label, then by metric.
    """
    head = ["row", "metric", "difference, %", "95 % interval, %", "freedom", "p", "p, corrected"]
    body = [
        [
            label,
            metric.upper(),
            f"{100 * one.difference:+.3f}",
            f"{100 * one.low:+.3f} … {100 * one.high:+.3f}",
            f"{one.freedom:.1f}",
            f"{one.p:.2g}",
            f"{one.p_corrected:.2g}{' *' if one.significant else ''}",
        ]
        for label, found in of.items()
        for metric, one in found.items()
    ]
    return markdown_table(head, body)
