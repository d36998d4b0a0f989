#!/usr/bin/env bash
# Trains with several processes: one per GPU, or on CPUs if there is no GPU.
#
#   bash tools/dist_train.sh CONFIG PROCESSES [ARGUMENT_OF_TRAIN...]
#
# Several machines: set NNODES, NODE_RANK and MASTER_ADDR on each.
set -euo pipefail
: "${2:?usage: bash $0 CONFIG PROCESSES [ARGUMENT...]}"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

exec "${PYTHON:-python}" -m torch.distributed.run --nproc_per_node="$2" \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$tools/train.py" "$1" --launcher pytorch "${@:3}"
