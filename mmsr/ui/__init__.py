"""MLflow and optuna-dashboard on this machine: their servers, and the pages of a study."""
