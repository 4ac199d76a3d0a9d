"""The search of table 2: every model of mmsr on Toys, with the same number of trials each.

`mmsr reproduce table2 --dataset toys` runs the same study, then refits each model's best trial with
several seeds, lets it rank test once, and writes the table.
"""

from mmsr.study import ALL_MODELS, Study

study = Study(
    dataset="toys",
    name="table2-toys",
    models=ALL_MODELS,
    trials=20 * len(ALL_MODELS),
)

if __name__ == "__main__":
    study.main()
