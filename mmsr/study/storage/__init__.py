"""Where a study is kept: Optuna's storage, the folder, locks, trials and their lineage."""
