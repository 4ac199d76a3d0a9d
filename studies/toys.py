"""Toys: known settings first, then the default space.

Fetch and import the data once:
    mmsr data fetch toys
    mmsr data prepare toys
"""

from mmsr.study import Study

study = Study(
    dataset="toys",
    objective="valid/mrr@20",
    trials=60,
    epochs=60,
    resources="auto",
)

if __name__ == "__main__":
    study.main()
