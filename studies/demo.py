"""The demo shop: a small study that shows all parts at work, in about two minutes."""

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
        "model.width": Choice(32, 64, 128),
        "model.dropout": Float(0.0, 0.5, step=0.1),
        "training.learning_rate": Float(1e-3, 1e-2, log=True),
        "training.batch_size": Choice(64, 128),
    },
    base={"training.patience": 4},
    trials=12,
    epochs=9,
    sampler=Tpe(startup_trials=6),
    pruner=Halving(first_rung=3, factor=3, startup_trials=8),
)

if __name__ == "__main__":
    study.main()
