#!/usr/bin/env bash
# Installs and trains TAL-MTS, and shows its mAP and a picture of its detections.
#
#   bash tools/quickstart.sh [--fresh] [--fresh-env]
#
# Installs into .venv, generates a synthetic data set of real video files, trains,
# tests and draws. A second run reuses what is there; one after a kill goes on.
#   --fresh      delete the data and the results, and start over
#   --fresh-env  delete .venv as well
# tools/misc/setup_env.sh lists the environment variables.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/misc/setup_env.sh"

fresh=()
for argument in "$@"; do
    case "$argument" in
        --fresh) fresh=(--fresh) ;;
        --fresh-env) fresh=(--fresh) && rm -rf "$VENV" ;;
        -h | --help) usage && exit 0 ;;
        *) fail "unknown argument $argument; there are --fresh and --fresh-env" ;;
    esac
done

setup_env
cd "$REPO_ROOT"
exec "$VENV_PYTHON" tools/quickstart.py ${fresh[@]+"${fresh[@]}"}
