"""Phone (Cell Phones and Accessories): known settings first, then the default space.

Fetch and import the data once:
    mmsr data fetch phone
    mmsr data prepare phone
"""

from mmsr.study import Halving, Study

study = Study(
    dataset="phone",
    objective="valid/mrr@20",
    trials=60,
    epochs=60,
    pruner=Halving(first_rung=4, factor=3, startup_trials=6),
    resources="auto",
)

if __name__ == "__main__":
    study.main()
