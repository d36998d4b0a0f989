#!/usr/bin/env bash
# Installs the full flavour: MMCV with its compiled operators, MMDetection, and our own
# compiled operators.
#
#   bash tools/install_full.sh
#
# Goes into .venv-full, beside the .venv of the quick start. MMCV is compiled from source,
# once: the wheel is kept outside of the repository. A C++ compiler and the headers of
# Python are needed (on Debian and Ubuntu: apt install g++ python3-dev).
#
# Environment:
#   MMTAL_VENV    another environment; an mmcv-lite in it is replaced
#   MMTAL_WHEELS  where compiled wheels are kept; by default ~/.cache/mmtal_mts/wheels
#   MAX_JOBS      processes of the compiler, each of which takes 2 GB; by default one per
#                 core
#   TORCH_CUDA_ARCH_LIST  for a CUDA build, e.g. "8.0 9.0+PTX"
# and those of tools/misc/setup_env.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export MMTAL_VENV="${MMTAL_VENV:-$PWD/.venv-full}"
source tools/misc/setup_env.sh

# What a compiled MMCV depends on, as a folder name; "cuda" is in it if there are a CUDA
# build of torch and nvcc, the rule of our own operators.
MMCV_KEY="
import os, pathlib, platform, torch
from torch.utils.cpp_extension import CUDA_HOME
key = f'{platform.machine()}-python{platform.python_version()}-torch{torch.__version__}'
if torch.version.cuda and CUDA_HOME and pathlib.Path(CUDA_HOME, 'bin/nvcc').is_file():
    key += '-cuda' + os.environ.get('TORCH_CUDA_ARCH_LIST', '').replace(' ', '_')
print(key)"

install_mmcv() {
    local wanted key wheels flags
    wanted="$(grep '^mmcv==' requirements/full.txt)"
    key="$wanted-$("$VENV_PYTHON" -c "$MMCV_KEY")"
    wheels="${MMTAL_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/mmtal_mts/wheels}/$key"
    if ! compgen -G "$wheels/mmcv-*.whl"; then
        # Python's own flags ask for debug information, which makes the compiler slower
        # and the wheel many times larger. Where MMCV sees a GPU it insists on nvcc.
        flags=(MMCV_WITH_OPS=1 CFLAGS="${CFLAGS:-} -g0" CXXFLAGS="${CXXFLAGS:-} -g0")
        flags+=(MAX_JOBS="${MAX_JOBS:-$(nproc)}")
        [[ "$key" == *-cuda* ]] && flags+=(FORCE_CUDA=1) ||
            flags+=(FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=-1)
        # pip's own cache does not know that the wheel depends on torch.
        env "${flags[@]}" "$VENV_PYTHON" -m pip wheel --no-cache-dir --no-deps \
            --no-build-isolation --no-binary mmcv -w "$wheels" "$wanted"
    fi
    # mmcv-lite has the same module.
    "$VENV_PYTHON" -m pip uninstall -y mmcv-lite mmcv
    pip_install --no-deps "$wheels"/mmcv-*.whl
}

install_full() {
    # ninja is looked for on the PATH, and the environment need not be activated.
    local PATH="$VENV/bin:$PATH"
    # MMCV's setup.py needs pkg_resources, which newer releases of setuptools lack.
    step 'build tools' pip_install -r requirements/build.txt wheel 'setuptools<81'
    step 'MMCV, compiled once (10 to 30 min)' install_mmcv
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
