#!/usr/bin/env bash
# Tests under Slurm.
#
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENT_OF_TEST...]
#
# Environment: GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (5), SRUN_ARGS, MASTER_PORT.
set -euo pipefail
: "${4:?usage: bash $0 PARTITION JOB_NAME CONFIG CHECKPOINT [ARGUMENT...]}"
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
export MASTER_PORT="${MASTER_PORT:-$((20000 + RANDOM % 20000))}"
gpus="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}"

# SRUN_ARGS holds several arguments.
exec srun --partition="$1" --job-name="$2" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --gres="gpu:$per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/test.py" "$3" "$4" --launcher slurm "${@:5}"
