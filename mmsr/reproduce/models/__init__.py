"""Table 2, where rows are models: each is searched with the same budget, then refitted and tested.

1. One study over the rows' models: each by its own space, its authors' settings first, chosen on
   validation (`mmsr.study.Study` with `models`).
2. The best trial of each model is refitted on train + validation for the epochs that it chose, with
   several seeds; when all seeds of a row are done, its models rank test, once, on record.

The second step is that of the other tables (`mmsr.reproduce.run`), with a row for each model.
"""
