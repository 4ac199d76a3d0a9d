"""The model card: what an exported model is, for people."""

from __future__ import annotations

from mmsr.config import Config
from mmsr.format import markdown_table, plural
from mmsr.serving.facts import Facts, Tested

_SHOWN = ("hr@5", "mrr@5", "ndcg@5", "hr@10", "ndcg@10", "hr@20", "mrr@20", "ndcg@20")


def card(origin: str, facts: Facts, config: Config, *, with_onnx: bool) -> str:
    """The Markdown text of a model card.

    Parameters
    ----------
    origin : where it comes from, in words.
    facts : how it was made and what it scored.
    config : the config that it was trained with.
    with_onnx : whether the folder holds the network as ONNX, too.
    """
    part = "train + validation" if facts.part == "development" else "the training part"
    sections = [
        f"# {config.model.name} for {facts.dataset}",
        f"A model of type `{config.model.name}` that recommends items for histories: the items "
        f"that somebody interacted with, oldest first. It is the {origin}.",
        "## Data",
        markdown_table(
            ("", ""),
            [
                ("data set", facts.dataset),
                ("content hash", f"`{facts.dataset_hash}`"),
                ("protocol", facts.protocol),
                (
                    "size",
                    f"{plural(facts.users, 'user')}, {plural(facts.items, 'item')}, "
                    f"{plural(facts.interactions, 'interaction')}",
                ),
                ("trained on", f"{part}, {plural(facts.epoch, 'epoch')}, seed {facts.seed}"),
            ],
        ),
        "## Figures",
        _figures(facts),
        "## How to use it",
        _usage(config, with_onnx),
        "## Limits",
        _limits(config),
        "## Config",
        f"```yaml\n{config.to_yaml().rstrip()}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _figures(facts: Facts) -> str:
    if not facts.validation and facts.test is None:
        return "None are recorded."
    test = facts.test
    rows = [
        (name, _percent(facts.validation.get(f"valid/{name}")), _of_test(test, f"test/{name}"))
        for name in _SHOWN
    ]
    if test is None:
        lines = [
            "In %, on validation targets, by which the model was chosen: new data will score lower."
            " Test was not opened for this model."
        ]
        table = markdown_table(("metric", "validation"), [row[:2] for row in rows])
    else:
        lines = [
            "In %. Validation: of the trial that chose this config and its number of epochs. Test: "
            f"of {_refits(test.seeds)}"
            + ("; ±: standard deviation over them" if test.std else "")
            + ("; [ ]: 95 % interval over users" if test.low else "")
            + "."
        ]
        table = markdown_table(("metric", "validation", "test"), rows)
    return "\n\n".join([*lines, table, "All items were ranked; nothing was sampled."])


def _refits(n: int) -> str:
    if n == 1:
        return "this model, the only refit of this config on train + validation"
    return f"this config, mean over {n} refits on train + validation, of which this model is one"


def _usage(config: Config, with_onnx: bool) -> str:
    text = """From the command line, with the path of this folder and ids of `items.json`:

```bash
mmsr recommend FOLDER --history ID,ID,ID --top 10
```

From Python:

```python
import mmsr

recommender = mmsr.load("FOLDER")
recommender.recommend([["ID", "ID", "ID"]], top=10)
```

Neither needs the data set. Nothing in this folder is pickled: weights and inputs are safetensors,
everything else is JSON."""
    if with_onnx:
        text += f"""

`model.onnx` is the network alone. Its input `histories` is int64 `[batch, length]`: places of items
in `items.json`, counted from 0, oldest first, -1 behind the end of shorter histories; at most
{config.graph.max_history} of them. Its output `scores` is float32 `[batch, items]`."""
    return text


def _limits(config: Config) -> str:
    seen = {
        "kept": "Items of the history can be recommended again, as they were ranked in training.",
        "masked": "Items of the history are not recommended again.",
        "read_masked": "Items that the model reads of the history are not recommended again.",
    }[config.training.seen]
    lines = [
        f"It reads the latest {plural(config.graph.max_history, 'item')} of a history.",
        "It knows only the items of its catalogue.",
        seen,
    ]
    if config.model.modalities_as is not None:
        lines.append("Features of its items are those of the data set; it takes no new ones.")
    return "\n".join(f"- {line}" for line in lines)


def _of_test(test: Tested | None, name: str) -> str:
    if test is None or name not in test.mean:
        return ""
    std = f" ± {100 * test.std[name]:.2f}" if name in test.std else ""
    interval = ""
    if name in test.low and name in test.high:
        interval = f" [{100 * test.low[name]:.2f}, {100 * test.high[name]:.2f}]"
    return f"{100 * test.mean[name]:.2f}{std}{interval}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
