"""Toys: known settings first, then the default space.

Import the data once, from neutral tables:
    mmsr data import toys --interactions FILE --items FILE --features image=FILE
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
