"""Beauty: known settings first, then the default space.

Fetch and import the data once:
    mmsr data fetch beauty
    mmsr data prepare beauty
"""

from mmsr.study import DEFAULT_SPACE, Halving, Study

study = Study(
    dataset="beauty",
    objective="valid/mrr@20",
    space=DEFAULT_SPACE,
    trials=60,
    epochs=60,
    pruner=Halving(first_rung=4, factor=3, startup_trials=6),
    resources="auto",
)

if __name__ == "__main__":
    study.main()
