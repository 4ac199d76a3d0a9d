#!/usr/bin/env bash
# Runs MLflow's tracking server for a team: metrics in a database, artifacts in a folder or bucket.
# Clients need its address alone: artifacts pass through the server, and so do its credentials.
#
#   MLFLOW_DATABASE=postgresql://mlflow@db/mlflow MLFLOW_ARTIFACTS=s3://BUCKET/mlflow mlflow/serve.sh
#
# MLFLOW_DATABASE  default: SQLite in the current folder; a team wants PostgreSQL
# MLFLOW_ARTIFACTS default: ./mlartifacts
# MLFLOW_HOST      address to listen on; default: 127.0.0.1
# MLFLOW_PORT      default: 5000
# MLFLOW_NAMES     names by which clients reach it, comma-separated: others are refused
set -euo pipefail

host=${MLFLOW_HOST:-127.0.0.1} port=${MLFLOW_PORT:-5000}
database=${MLFLOW_DATABASE:-sqlite:///$PWD/mlflow.db}
case $database in
  postgres://* | postgresql://*) database=postgresql+psycopg://${database#*://} ;;
esac

# MLflow compares whole Host and Origin headers, with the port; without the second, browsers that
# come by another name than localhost could only read.
hosts=localhost,127.0.0.1,$host${MLFLOW_NAMES:+,$MLFLOW_NAMES}
hosts=$hosts,${hosts//,/:$port,}:$port
origins=http://${hosts//,/,http://},https://${hosts//,/,https://}

# The job runner of the parts for language models would cost eight more processes and 2 GB.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
export MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=${MLFLOW_SQLALCHEMYSTORE_POOL_SIZE:-20}
export MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=${MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW:-40}

# One worker: with several, each call costs 40 ms.
exec mlflow server --host "$host" --port "$port" \
  --backend-store-uri "$database" \
  --artifacts-destination "${MLFLOW_ARTIFACTS:-$PWD/mlartifacts}" \
  --allowed-hosts "$hosts" --cors-allowed-origins "$origins" \
  --workers 1
