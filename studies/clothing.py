"""Clothing (Clothing, Shoes and Jewelry): more codes and larger batches than the default space.

Fetch and import the data once:
    mmsr data fetch clothing
    mmsr data prepare clothing
"""

from mmsr.study import DEFAULT_SPACE, Choice, Halving, Int, Study

study = Study(
    dataset="clothing",
    objective="valid/mrr@20",
    space={
        **DEFAULT_SPACE,
        "graph.n_codes": Int(10, 80, step=10),
        "training.batch_size": Choice(128, 256, 512),
    },
    trials=60,
    epochs=40,
    pruner=Halving(first_rung=4, factor=3, startup_trials=6),
    resources="auto",
)

if __name__ == "__main__":
    study.main()
