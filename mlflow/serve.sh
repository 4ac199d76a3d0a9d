#!/usr/bin/env bash
# Runs MLflow's tracking server for a team: metrics in a database, artifacts in a folder or bucket.
# Clients need its address and a password: artifacts pass through the server, and only the server
# has the credentials of the database and the bucket.
#
#   MLFLOW_DATABASE=postgresql://mlflow@db/mlflow MLFLOW_ARTIFACTS=s3://BUCKET/mlflow mlflow/serve.sh
#
# MLFLOW_DATABASE  default: SQLite in the current folder; a team wants PostgreSQL
# MLFLOW_ARTIFACTS default: ./mlartifacts
# MLFLOW_HOST      address to listen on; default: 127.0.0.1
# MLFLOW_PORT      default: 5000
# MLFLOW_NAMES     names by which clients reach it, comma-separated: others are refused
# MLFLOW_AUTH      on: each request needs a user and a password; off: none does.
#                  default: on, unless it listens on loopback alone
# MLFLOW_AUTH_ADMIN_PASSWORD
#                  of the user `admin`, 12 characters or more, for the first start: there is no
#                  default. Later starts ignore it; they are those that find mlflow-auth.ini.
# MLFLOW_AUTH_CONFIG_PATH
#                  MLflow's own settings of users; default: ./mlflow-auth.ini, written at each start
#                  for its owner's eyes: it holds MLFLOW_DATABASE, with its password if it has one
set -euo pipefail

refuse() {
  echo "error: $1" >&2
  exit 2
}

host=${MLFLOW_HOST:-127.0.0.1} port=${MLFLOW_PORT:-5000}
database=${MLFLOW_DATABASE:-sqlite:///$PWD/mlflow.db}
case $database in
  postgres://* | postgresql://*) database=postgresql+psycopg://${database#*://} ;;
esac

if [[ $host =~ ^(localhost|127(\.[0-9]+){3}|::1)$ ]]; then
  auth=${MLFLOW_AUTH:-off}
else
  auth=${MLFLOW_AUTH:-on}
fi
if [[ $host =~ ^(0\.0\.0\.0|::)$ ]] && [ -z "${MLFLOW_NAMES:-}" ]; then
  refuse "MLFLOW_HOST=$host needs MLFLOW_NAMES: the names by which clients reach the server"
fi

# MLflow compares whole Host and Origin headers, with the port; without the second, browsers that
# come by another name than localhost could only read.
case $host in *:*) name=[$host] ;; *) name=$host ;; esac
names=${MLFLOW_NAMES:-}
names=${names//[[:space:]]/}
hosts=localhost,127.0.0.1,$name${names:+,$names}
hosts=$hosts,${hosts//,/:$port,}:$port
origins=http://${hosts//,/,http://},https://${hosts//,/,https://}

app=()
case $auth in
  on)
    python3 -c 'import flask_wtf' 2>/dev/null ||
      refuse "passwords need \`pip install 'mmsr[server]'\` in the environment of the server"
    if [ -z "${MLFLOW_AUTH_CONFIG_PATH:-}" ]; then
      export MLFLOW_AUTH_CONFIG_PATH=$PWD/mlflow-auth.ini
      password=${MLFLOW_AUTH_ADMIN_PASSWORD:-}
      [ -e "$MLFLOW_AUTH_CONFIG_PATH" ] || [ ${#password} -ge 12 ] ||
        refuse "the first start needs MLFLOW_AUTH_ADMIN_PASSWORD, 12 characters or more, for admin;\
 a later one is run in the folder of the first, where mlflow-auth.ini is"
      # Users are in the same database, so one backup has both. One worker keeps the passwords that
      # it has checked for a while, since each check takes a tenth of a second, by design.
      (
        umask 077
        rm -f "$MLFLOW_AUTH_CONFIG_PATH"
        cat >"$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
default_permission = READ
database_uri = ${database//%/%%}
admin_username = admin
auth_cache_ttl_seconds = 60
END
      )
    fi
    # It signs the form for new users; whoever has it open while the server restarts loads it again.
    export MLFLOW_FLASK_SERVER_SECRET_KEY=${MLFLOW_FLASK_SERVER_SECRET_KEY:-$(head -c 32 /dev/urandom | base64)}
    app=(--app-name basic-auth)
    ;;
  off) ;;
  *) refuse "MLFLOW_AUTH=$auth: on or off" ;;
esac

# The job runner of the parts for language models would cost eight more processes and 2 GB.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true
# Outside its sandbox, MLflow's assistant runs commands for every account of this machine.
export MLFLOW_ENABLE_ASSISTANT_SANDBOX=true
export MLFLOW_SQLALCHEMYSTORE_POOL_SIZE=${MLFLOW_SQLALCHEMYSTORE_POOL_SIZE:-20}
export MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW=${MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW:-40}
# Not among the arguments, which every user of the machine can list: they may hold passwords.
export MLFLOW_BACKEND_STORE_URI=$database
export MLFLOW_ARTIFACTS_DESTINATION=${MLFLOW_ARTIFACTS:-$PWD/mlartifacts}

# One worker: with several, each call costs 40 ms.
exec mlflow server --host "$host" --port "$port" \
  --allowed-hosts "$hosts" --cors-allowed-origins "$origins" \
  --workers 1 ${app[@]+"${app[@]}"}
