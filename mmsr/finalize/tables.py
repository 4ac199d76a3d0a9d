"""Tables of a finalized study's figures, as the terminal, Markdown and the report show them."""

from __future__ import annotations

from collections.abc import Sequence

from mmsr.format import percent
from mmsr.study.results.comparison import Comparison
from mmsr.study.results.finalized import ConfigFigures, FinalResult
from mmsr.study.views.standings import SHOWN

Lines = list[list[str]]


def metrics_of(result: FinalResult) -> list[str]:
    """The metrics that are shown, that of the objective first.

    Parameters
    ----------
    result : the test results.
    """
    objective = (result.objective or "valid/mrr@20").partition("/")[2]
    return list(dict.fromkeys([objective, *SHOWN]))


def figures(
    result: FinalResult, metrics: Sequence[str] | None = None
) -> tuple[list[str], list[tuple[list[str], list[str]]]]:
    """Column heads, and two lines for each config: mean ± std, then the interval.

    Parameters
    ----------
    result : the test results.
    metrics : the metrics to show; None takes `metrics_of`.
    """
    names = metrics_of(result) if metrics is None else metrics
    chosen_by = metrics_of(result)[0]
    columns = ["config", "epochs", f"valid {chosen_by}", *(f"test {name}" for name in names)]
    body = []
    for config in result.configs:
        by = config.validation.get(f"valid/{chosen_by}")
        first = [f"trial {config.trial}", str(config.epochs), percent(by)]
        cells = [_figure(config, f"test/{name}") for name in names]
        body.append(
            ([*first, *(mean for mean, _ in cells)], ["", "", "", *(ends for _, ends in cells)])
        )
    return columns, body


def _figure(config: ConfigFigures, key: str) -> tuple[str, str]:
    if key not in config.mean:
        return ("" if config.mean else "failed"), ""
    std = f"±{100 * config.std[key]:.2f}" if key in config.std else ""
    low, high = config.low.get(key), config.high.get(key)
    bounds = "" if low is None or high is None else f"[{100 * low:.2f}–{100 * high:.2f}]"
    return f"{100 * config.mean[key]:.2f}{std}", bounds


def compared(result: FinalResult, metrics: Sequence[str]) -> tuple[list[str], Lines]:
    """Column heads, and a line for each metric of each pair of configs.

    Parameters
    ----------
    result : the test results.
    metrics : the metrics to show.
    """
    columns = ["trials", "metric", "difference", "95 % interval", "p, bootstrap", "p, Wilcoxon"]
    rows = [
        [f"{pair.first} – {pair.second}", metric, *_comparison(pair.metrics[metric])]
        for metric in metrics
        for pair in result.pairs
    ]
    return columns, rows


def _comparison(one: Comparison) -> list[str]:
    return [
        f"{100 * one.difference:+.3f}",
        f"[{100 * one.low:+.3f}, {100 * one.high:+.3f}]",
        f"{one.p_bootstrap_corrected:.2g}",
        f"{one.p_corrected:.2g}{' *' if one.significant else ''}",
    ]
