"""The demo shop: a small study that shows all parts at work, in about two minutes."""

from mmsr.cli.data.demo import demo
from mmsr.data import catalog
from mmsr.study import Choice, Float, Halving, Int, Study, Tpe

study = Study(
    dataset="demo",
    objective="valid/mrr@20",
    space={
        "graph.n_codes": Int(10, 30, step=10),
        "graph.links_per_item": Int(1, 3),
        "model.fusion": Choice("adaptive", "early", "late"),
        "model.aggregator.order": Choice(
            "gated", "ni_hohe", "ni_heho", "hohe", when={"model.fusion": "adaptive"}
        ),
        "model.width": Choice(32, 64),
        "model.aggregator.share_qkv": Choice(False, True),
        "model.dropout": Float(0.0, 0.5, step=0.1),
        "training.learning_rate": Float(2e-3, 2e-2, log=True),
        "training.batch_size": Choice(64, 128),
    },
    base={
        "model.input_dropout": 0.1,
        "model.scoring": "item_and_codes",
        "model.aggregator.scaled": True,
        "training.patience": 4,
    },
    trials=10,
    epochs=6,
    sampler=Tpe(startup_trials=6),
    pruner=Halving(first_rung=2, factor=3, startup_trials=8),
)


def generate() -> None:
    """Generate the shop where it is missing, as `mmsr data demo` does."""
    if study.dataset not in catalog.names():
        demo()


if __name__ == "__main__":
    study.main(prepare=generate)
