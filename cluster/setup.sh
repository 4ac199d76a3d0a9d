#!/usr/bin/env bash
# Makes a machine a node of the cluster: a Python environment with mmsr, and shells that know of it.
#
#   bash setup.sh EXTRAS [NAME=VALUE ...]
#
# EXTRAS are those of pyproject.toml, e.g. cluster,postgres,aws; each NAME=VALUE is exported in
# every login shell, so to `ray start`, to `ray submit` and to jobs. `ray up` runs this on every
# node each time; where nothing has changed, it does nothing.
set -euo pipefail

extras=${1:?which extras of pyproject.toml to install, e.g. cluster,postgres,aws}
shift
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=${MMSR_ENV:-$HOME/mmsr-env}
python=${PYTHON:-python3}

wanted=$(cd "$project" && cat pyproject.toml constraints.txt | sha256sum | cut -d ' ' -f 1)
if [ "$(cat "$environment/requirements" 2>/dev/null)" != "$wanted" ]; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $python on $(hostname) is no Python 3.11 or newer: install one, and name it by PYTHON=" >&2
    exit 2
  }
  [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
  "$environment/bin/python" -m pip install -q --disable-pip-version-check \
    -c "$project/constraints.txt" -e "$project[$extras]"
  echo "$wanted" >"$environment/requirements"
fi

profile=$HOME/.mmsr-profile
(
  umask 077 # a setting may hold a password
  {
    echo "export PATH=$environment/bin:\$PATH PYTHONPATH=$project RAY_AUTH_MODE=token RAY_ADDRESS=auto"
    for setting in "$@"; do printf 'export %s=%q\n' "${setting%%=*}" "${setting#*=}"; done
  } >"$profile"
)
grep -qsF "$profile" "$HOME/.bashrc" || echo "[ ! -f $profile ] || . $profile" >>"$HOME/.bashrc"
