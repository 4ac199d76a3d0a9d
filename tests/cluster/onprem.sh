#!/usr/bin/env bash
# `ray up`, `ray submit`, `ray job submit` and `ray down` for real, with cluster/onprem.yaml: three
# hosts with sshd in network namespaces of this machine, and a laptop that reaches them by SSH.
# Kills a worker node, then the head, in the middle of a study; both go on.
#
#   apt-get install openssh-server rsync iproute2 postgresql
#   tests/cluster/onprem.sh              as root; five to ten minutes; log in $LOG or on the screen
#
# KEEP         set to keep that folder
# ENVIRONMENT  Python environment with mmsr[cluster,postgres]; default: that of `python`. Not
#              under /root or /tmp, which the hosts have of their own.
#
# Everything is under one folder of /var/tmp and goes when the script ends, and no process outside
# the namespaces is touched: Ray's own `ray stop`, which ends every Ray that it sees, sees only
# those of its host.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PROJECT=${here%/tests/cluster}
POSTGRES=$(echo /usr/lib/postgresql/*/bin | tr ' ' '\n' | tail -1)

say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() {
  say "FAILED: $*"
  exit 1
}

main() {
  [ "$(id -u)" = 0 ] || fail "run it as root: it makes network namespaces"
  local tool
  for tool in sshd rsync ip "$POSTGRES/initdb"; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install openssh-server rsync iproute2 postgresql"
  done
  export ENVIRONMENT=${ENVIRONMENT:-$(python -c 'import sys; print(sys.prefix)')}
  export PYTHON_HOME=$("$ENVIRONMENT/bin/python" -c 'import sys; print(sys.base_prefix)')
  export WORK=$(mktemp -d /var/tmp/mmsr-onprem.XXXXXX)
  chmod 711 "$WORK"
  export SHARED=$WORK/shared
  mkdir -p "$SHARED"
  . "$here/hosts.sh"
  trap clean_up EXIT
  make_lan
  for host in 1 2 3; do start_host "$host"; done
  mkdir -p "$WORK/host-254/root/.ssh"
  cp "$WORK/key" "$WORK/host-254/root/.ssh/id_ed25519"
  (PATH=$ENVIRONMENT/bin:$PATH enter 254 bash "$here/onprem.sh" --on-laptop "$WORK")
}

clean_up() {
  remove_hosts
  sleep 1
  if [ -n "${KEEP:-}" ]; then say "kept $WORK"; else rm -rf "$WORK"; fi
}

on_laptop() {
  WORK=$1
  cd "$PROJECT"
  export PYTHONPATH=$PROJECT RAY_AUTH_MODE=token RAY_UP_enable_autoscaler_v2=0 RAY_USAGE_STATS_ENABLED=0
  # Known only when connected to: hosts are new, and `ray up` asks no questions.
  printf 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n' >~/.ssh/config
  start_servers
  ray get-auth-token --generate >/dev/null
  sed -e 's/HEAD_HOST/10.77.0.1/; s/WORKER_HOST_1/10.77.0.2/; s/WORKER_HOST_2/10.77.0.3/; s/: USER/: root/' \
    -e 's|MMSR_HOME=.*|MMSR_HOME=/root/shared/mmsr|' \
    -e 's|MMSR_STORAGE=.*|MMSR_STORAGE=postgresql://postgres@10.77.0.254/optuna|' \
    -e 's|MLFLOW_TRACKING_URI=.*|MLFLOW_TRACKING_URI=http://10.77.0.254:5000|' \
    cluster/onprem.yaml >~/onprem.yaml

  say "ray up"
  up
  wait_for_nodes 3

  say "ray submit: a study of 8 trials; a worker node dies in its middle"
  ray submit ~/onprem.yaml studies/demo.py -- --trials 8 --name first >~/first.log 2>&1 &
  local submitted=$!
  wait_for_checkpoints first 3 "$submitted"
  on 10.77.0.2 'kill -9 $(pidof raylet)'
  say "killed the raylet of 10.77.0.2"
  wait "$submitted" || { tail -30 ~/first.log; fail "the study did not survive the loss of a node"; }
  tail -25 ~/first.log
  expect_trials first 8
  ray submit ~/onprem.yaml studies/demo.py -- --trials 8 --name first 2>&1 | grep 'nothing to do' ||
    fail "the same command ran something again"

  say "ray submit: another study; the head dies in its middle"
  ray submit ~/onprem.yaml studies/demo.py -- --trials 8 --name second >~/second.log 2>&1 &
  submitted=$!
  wait_for_checkpoints second 3 "$submitted"
  say "two drivers: the second is refused"
  ray submit ~/onprem.yaml studies/demo.py -- --trials 8 --name second >~/refused.log 2>&1 &&
    fail "two drivers ran one study"
  grep error: ~/refused.log
  on 10.77.0.1 'kill -9 $(pidof gcs_server)'
  local killed=$SECONDS
  wait "$submitted" && fail "the study ended well without a head"
  say "the driver ended $((SECONDS - killed)) seconds after the death of the head:"
  grep error: ~/second.log || { tail -30 ~/second.log; fail "and said nothing"; }

  say "ray up again, and the same command"
  up
  wait_for_nodes 3
  ray submit ~/onprem.yaml studies/demo.py -- --trials 8 --name second >~/second.log 2>&1 ||
    { tail -30 ~/second.log; fail "the study did not go on"; }
  grep -E 'exists: resuming|resumes? from|trials:' ~/second.log || tail -25 ~/second.log
  expect_trials second 8

  say "ray job submit: a study from the laptop's working tree"
  ray dashboard ~/onprem.yaml >~/dashboard.log 2>&1 &
  wait_for_page http://127.0.0.1:8265/api/version $! ~/dashboard.log
  ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
    python studies/demo.py --trials 4 --name third --set 'model.width=32' >~/third.log 2>&1 ||
    { tail -40 ~/third.log; fail "the job failed"; }
  grep -E 'third|succeeded' ~/third.log | tail -8
  expect_trials third 4

  say "ray down"
  ray down -y ~/onprem.yaml >~/down.log 2>&1 || { tail -30 ~/down.log; fail "ray down"; }
  on 10.77.0.1 '! pidof raylet gcs_server' || fail "Ray still runs on the head"
  # It stops the head alone; workers end by themselves once they have missed it for a while.
  local host begun=$SECONDS
  for host in 2 3; do
    until on "10.77.0.$host" '! pidof raylet >/dev/null'; do
      [ $((SECONDS - begun)) -lt 180 ] || fail "Ray still runs on host $host"
      sleep 2
    done
  done
  say "no Ray is left on any host after $((SECONDS - begun)) seconds"
  say "all went well"
}

start_servers() {
  local data=$WORK/postgres
  install -d -o postgres "$data"
  runuser -u postgres -- "$POSTGRES/initdb" -D "$data" -A trust -U postgres --no-locale -E UTF8 >/dev/null
  echo 'host all all 10.77.0.0/24 trust' >>"$data/pg_hba.conf"
  runuser -u postgres -- "$POSTGRES/pg_ctl" -D "$data" -w -l "$data/log" \
    -o "-c listen_addresses=10.77.0.254 -c unix_socket_directories=$data" start >/dev/null
  local name
  for name in optuna mlflow; do psql -q -h 10.77.0.254 -U postgres -c "create database $name"; done
  # Only these hosts are in its network.
  MLFLOW_AUTH=off MLFLOW_HOST=10.77.0.254 MLFLOW_ARTIFACTS=$SHARED/mlartifacts \
    MLFLOW_DATABASE=postgresql://postgres@10.77.0.254/mlflow mlflow/serve.sh >~/mlflow.log 2>&1 &
  wait_for_page http://10.77.0.254:5000/health $! ~/mlflow.log
  say "PostgreSQL and MLflow answer"
}

#   wait_for_page URL PROCESS LOG
wait_for_page() {
  until curl -fs -o /dev/null -H "Authorization: Bearer $(cat ~/.ray/auth_token 2>/dev/null)" "$1"; do
    kill -0 "$2" 2>/dev/null || { tail -20 "$3"; fail "nothing serves $1"; }
    sleep 1
  done
}

up() {
  local begun=$SECONDS try
  for try in 1 2 3; do
    if ray up -y --no-config-cache ~/onprem.yaml >~/up.log 2>&1; then
      say "the head is up after $((SECONDS - begun)) seconds"
      return
    fi
    # Ray gives a node 30 seconds to start: too few on a busy machine.
    grep -q 'timed out during startup' ~/up.log || { tail -60 ~/up.log; fail "ray up"; }
    say "Ray did not start in 30 seconds: ray up once more"
  done
  fail "ray up"
}

on() {
  local host=$1
  shift
  ssh -i ~/.ssh/id_ed25519 "root@$host" "$@"
}

wait_for_nodes() {
  local begun=$SECONDS tries=1
  until [ "$(count_nodes)" = "$1" ]; do
    if [ $((SECONDS - begun)) -gt $((tries * 150)) ]; then
      # A worker that misses those 30 seconds has no second chance.
      [ $tries -lt 4 ] || fail "$(count_nodes) of $1 nodes"
      tries=$((tries + 1))
      say "$(count_nodes) of $1 nodes: ray up once more"
      up
    fi
    sleep 3
  done
  say "$1 nodes after $((SECONDS - begun)) more seconds"
}

count_nodes() {
  local host count=0
  for host in 1 2 3; do
    if on "10.77.0.$host" 'pidof raylet >/dev/null && ! pidof -x ray >/dev/null'; then
      count=$((count + 1))
    fi
  done
  echo $count
}

#   wait_for_checkpoints STUDY HOW_MANY_TRIALS PROCESS
wait_for_checkpoints() {
  local begun=$SECONDS
  until [ "$(find "$SHARED/mmsr/studies/$1/ray" -path '*trial-*/checkpoint_*/report.json' 2>/dev/null |
    sed 's|/checkpoint_.*||' | sort -u | wc -l)" -ge "$2" ]; do
    kill -0 "$3" 2>/dev/null || { tail -40 ~/"$1".log; fail "study $1 ended too early"; }
    [ $((SECONDS - begun)) -lt 300 ] || { tail -40 ~/"$1".log; fail "study $1 makes no progress"; }
    sleep 1
  done
}

#   expect_trials STUDY HOW_MANY       over, each once, in Optuna and MLflow alike
expect_trials() {
  MMSR_HOME=$SHARED/mmsr python "$PROJECT/tests/cluster/count_trials.py" "$1" \
    postgresql+psycopg://postgres@10.77.0.254/optuna http://10.77.0.254:5000 "$2"
}

case ${1:-} in
  --on-laptop) on_laptop "$2" ;;
  *) main ;;
esac
