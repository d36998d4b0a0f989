#!/usr/bin/env bash
# Compiles the CUDA source of the operators and loads the result. Needs nvcc, no GPU.
#
#   bash .dev_scripts/check_cuda_build.sh [SCRATCH_FOLDER]
#
# The scratch folder (by default a temporary one, removed afterwards) takes 6 GB: an
# environment with a CUDA build of torch, and a copy of the source. Given again, it is
# used again.
#
# Environment:
#   PYTHON                interpreter to create the environment with
#   MMTAL_CUDA_TORCH      what to hand to "pip install" for torch, options included; its
#                         CUDA must have the major version of nvcc. By default
#                         torch==2.14.1 (CUDA 13)
#   CUDA_HOME             the CUDA toolkit; by default /usr/local/cuda or that of nvcc
#   TORCH_CUDA_ARCH_LIST  by default "8.0 9.0+PTX"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where nvcc on the PATH is only a wrapper, torch would look beside the wrapper.
if [[ -z "${CUDA_HOME:-}" && -x /usr/local/cuda/bin/nvcc ]]; then
    export CUDA_HOME=/usr/local/cuda
fi
if [[ ! -x "${CUDA_HOME:-}/bin/nvcc" ]] && ! command -v nvcc >/dev/null 2>&1; then
    echo 'error: nvcc not found. Install the CUDA toolkit, or set CUDA_HOME' >&2
    exit 2
fi
if [[ $# -gt 0 ]]; then
    scratch="$(mkdir -p "$1" && cd "$1" && pwd)"
else
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
fi

python="$scratch/venv/bin/python"
if ! "$python" -c 'import torch, mmcv' >/dev/null 2>&1; then
    "${PYTHON:-python3}" -m venv "$scratch/venv"
    "$python" -m pip install -q --disable-pip-version-check \
        ${MMTAL_CUDA_TORCH:-torch==2.14.1} 'mmcv-lite>=2.0.1,<2.2.0' \
        ninja 'setuptools<82'
fi

rm -rf "$scratch/source"
mkdir "$scratch/source"
cp -r setup.py README.md requirements mmtal_mts "$scratch/source"
rm -f "$scratch"/source/mmtal_mts/ops/_compiled*
cd "$scratch/source"
FORCE_CUDA=1 MMTAL_WITH_OPS=1 TORCH_CUDA_ARCH_LIST="${TORCH_CUDA_ARCH_LIST:-8.0 9.0+PTX}" \
    "$python" setup.py -q build_ext --inplace

"$python" - <<'CHECK'
from pathlib import Path

import torch

(library,) = Path('mmtal_mts/ops').glob('_compiled*')
torch.ops.load_library(library)
name = 'mmtal_mts::boundary_max_pooling'
for operator in (name, f'{name}_backward'):
    for key in ('CPU', 'CUDA'):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(operator, key), key

device = 'cuda' if torch.cuda.is_available() else 'cpu'
features = torch.tensor([[[1.0, 5.0, 2.0], [7.0, 0.0, 8.0]]], device=device)
regions = torch.tensor([[[0.0, 1.0, 1.0, 2.0]]], device=device)
values, index = torch.ops.mmtal_mts.boundary_max_pooling(features, regions)
assert values.tolist() == [[[5.0], [8.0]]] and index.tolist() == [[[1], [2]]]
for operator in ('mmtal_mts::max_pool3d', 'mmtal_mts::max_pool3d_backward'):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(operator, 'CPU'), operator
print(f'built and loaded with torch {torch.__version__}, run on {device}: {library}')
CHECK
