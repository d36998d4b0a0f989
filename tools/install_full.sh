#!/usr/bin/env bash
# Installs the full flavour: MMCV with its compiled operators, MMDetection, and our own
# compiled operators.
#
#   bash tools/install_full.sh
#
# Goes into .venv-full, beside the .venv of the quick start. MMCV is compiled from source,
# once: the wheel is kept outside of the repository. A C++ compiler is needed. After an
# interruption, the same command goes on where it was.
#
# Environment:
#   MMTAL_VENV    another environment; an mmcv-lite in it is replaced
#   MMTAL_WHEELS  where compiled wheels are kept; by default ~/.cache/mmtal_mts/wheels
#   MAX_JOBS      processes of the compiler; by default one per core
#   TORCH_CUDA_ARCH_LIST  for a CUDA build, e.g. "8.0 9.0+PTX"
# and those of tools/misc/setup_env.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MMTAL_VENV="${MMTAL_VENV:-$PWD/.venv-full}"
source tools/misc/setup_env.sh

inputs_of_full() {
    cat tools/install_full.sh tools/misc/install_mmcv.py
    find mmtal_mts/ops/csrc -type f | LC_ALL=C sort | xargs cat
    "$VENV_PYTHON" -c 'from importlib import metadata; print(metadata.version("torch"))'
}

install_full() {
    # ninja is looked for on the PATH, and the environment need not be activated.
    local PATH="$VENV/bin:$PATH"
    # MMCV's setup.py needs pkg_resources, which newer releases of setuptools lack.
    step 'build tools' pip_install -r requirements/build.txt 'setuptools<81'
    step 'MMCV, compiled once (10 to 30 min)' \
        "$VENV_PYTHON" tools/misc/install_mmcv.py requirements/full.txt
    step 'MMDetection' pip_install --no-deps -r requirements/full.txt
    step 'compiled operators of mmtal_mts' env MMTAL_WITH_OPS=1 \
        "$VENV_PYTHON" -m pip install --no-deps --no-build-isolation -e .
    step 'check' "$VENV_PYTHON" tools/misc/check_env.py --fix --full
}

case "${1:-}" in
    '') ;;
    -h | --help) usage && exit 0 ;;
    *) fail "unknown argument $1; there is --help" ;;
esac
setup_env full
"$VENV_PYTHON" tools/misc/check_env.py --full
echo "ready: source $VENV/bin/activate"
