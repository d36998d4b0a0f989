#!/usr/bin/env bash
# Tests with several processes: one per GPU, or on CPUs if there is no GPU.
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [ARGUMENT_OF_TEST...]
#
# Several machines: set NNODES, NODE_RANK and MASTER_ADDR on each.
set -euo pipefail
if (($# < 3)); then
    echo "usage: bash $0 CONFIG CHECKPOINT PROCESSES [ARGUMENT...]" >&2
    exit 2
fi
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$3" \
    "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
