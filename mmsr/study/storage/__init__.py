"""What is stored of a study: Optuna's storage, the folder, locks, trials and their lineage."""
