#!/usr/bin/env bash
# Trains and tests on two machines, which are two network namespaces of this one.
#
#   sudo env "PATH=$PATH" bash .dev_scripts/try_two_machines.sh CONFIG NEW_FOLDER [ARGUMENT_OF_TRAIN...]
#
# With one process per machine: trains by tools/dist_train.sh, compares the losses to
# those of one process with the same total batch, tests by tools/dist_test.sh and compares
# mAP. Then it kills the process of one machine, and then cuts the cable, and waits for
# the job to end. CONFIG must be one that trains in a minute and whose batch statistics do
# not matter (backbone.freeze_bn). Needs root (without PATH, sudo forgets which Python),
# and "ip" of iproute2.
#
# Environment: PYTHON (python).
set -euo pipefail
if (($# < 2)) || [[ -e "$2" ]]; then
    echo "usage: sudo env \"PATH=\$PATH\" bash $0 CONFIG NEW_FOLDER [ARGUMENT_OF_TRAIN...]" >&2
    exit 2
fi
[[ $(id -u) == 0 ]] || { echo 'error: namespaces need root: sudo bash ...' >&2; exit 2; }
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")/../tools" && pwd)"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
config=$1 out=$2
shift 2
mkdir -p "$out"
id=$$ spaces=("mmtal$$a" "mmtal$$b")

tidy() {
    local space pids
    for space in "${spaces[@]}"; do
        pids=$(ip netns pids "$space" 2>/dev/null || true)
        [[ -z "$pids" ]] || kill -9 $pids 2>/dev/null || true
        ip netns del "$space" 2>/dev/null || true
    done
}

# A step that fails has said why in a log of its own.
finish() {
    local status=$? logs
    tidy
    logs=$(ls -t "$out"/*.log 2>/dev/null || true)
    if ((status)) && [[ -n "$logs" ]]; then
        tail -n 5 "${logs%%$'\n'*}" >&2
        echo "error: that failed; the logs are $out/*.log" >&2
    fi
}
trap finish EXIT

connect() {
    tidy
    for space in "${spaces[@]}"; do
        ip netns add "$space"
        ip -n "$space" link set lo up
    done
    ip link add "m${id}a" netns "${spaces[0]}" type veth peer name "m${id}b" netns "${spaces[1]}"
    ip -n "${spaces[0]}" addr add 10.77.0.1/24 dev "m${id}a"
    ip -n "${spaces[1]}" addr add 10.77.0.2/24 dev "m${id}b"
    ip -n "${spaces[0]}" link set "m${id}a" up
    ip -n "${spaces[1]}" link set "m${id}b" up
}

# on MACHINE COMMAND...: what somebody types on that machine
on() {
    local rank=$1 card=("m${id}a" "m${id}b")
    shift
    ip netns exec "${spaces[$rank]}" env NNODES=2 NODE_RANK="$rank" MASTER_ADDR=10.77.0.1 \
        GLOO_SOCKET_IFNAME="${card[$rank]}" "$@" >>"$out/machine_$rank.log" 2>&1
}

# both SECONDS COMMAND...: on both machines at once; fails if one does, or takes longer
both() {
    local limit=$1 failed=0 rank
    shift
    pids=()
    for rank in 0 1; do
        on "$rank" timeout "$limit" "$@" &
        pids+=($!)
    done
    for rank in 0 1; do
        wait "${pids[$rank]}" || failed=$?
    done
    return "$failed"
}

scalars() { cat "$1"/*/vis_data/scalars.json; }

python="${PYTHON:-python}"
train=("$config" 1 --seed 0 "$@")
batch=$("$python" -c 'import sys; from mmengine.config import Config
print(Config.fromfile(sys.argv[1]).train_dataloader.batch_size)' "$config")

echo "== one process, batch $((2 * batch))"
"$python" "$tools/train.py" "$config" --seed 0 --work-dir "$out/one" "$@" \
    --cfg-options "train_dataloader.batch_size=$((2 * batch))" >"$out/one.log" 2>&1
scalars "$out/one" >"$out/one.jsonl"

echo "== two machines, batch $batch each"
connect
both 600 bash "$tools/dist_train.sh" "${train[@]}" --work-dir "$out/two"
scalars "$out/two" >"$out/two.jsonl"
"$python" - "$out/one.jsonl" "$out/two.jsonl" <<'COMPARE'
import sys

import pandas as pd

one, two = (pd.read_json(path, lines=True).dropna(subset='loss') for path in sys.argv[1:])
losses = [name for name in one if 'loss' in name]
difference = ((one[losses] - two[losses]).abs() / one[losses].abs().clip(1e-3)).max().max()
print(f'{len(one)} iterations, losses differ by at most {difference:.1e}')
sys.exit(len(one) != len(two) or not difference <= 1e-3)
COMPARE

echo '== the same test by one process and by two machines'
checkpoint=$(cat "$out/one/last_checkpoint")
"$python" "$tools/test.py" "$config" "$checkpoint" --work-dir "$out/test" >"$out/test.log" 2>&1
both 600 bash "$tools/dist_test.sh" "$config" "$checkpoint" 1 --work-dir "$out/test_two"
one=$(grep -o 'mAP@.* mAP: [0-9.]*' "$out/test.log" | tail -n 1)
two=$(grep -o 'mAP@.* mAP: [0-9.]*' "$out/machine_0.log" | tail -n 1)
echo "$one"
[[ -n "$one" && "$one" == "$two" ]] || { echo "error: two machines: $two" >&2; exit 1; }

# until FILE: waits until a training has logged something new
until_training() {
    local before=$1 tries
    for tries in $(seq 600); do
        (($(grep -c 'Epoch(train)' "$out/machine_0.log") > before)) && return
        sleep 0.2
    done
    echo 'error: the training does not start' >&2
    exit 1
}

# lose TITLE COMMAND...: the command loses a machine in the middle of a training
lose() {
    local title=$1 before start status=0
    shift
    echo "== $title"
    connect
    before=$(grep -c 'Epoch(train)' "$out/machine_0.log")
    both 300 bash "$tools/dist_train.sh" "${train[@]}" --work-dir "$out/lost" \
        --cfg-options train_cfg.max_epochs=1000 env_cfg.dist_cfg.timeout=30 &
    local job=$!
    until_training "$before"
    "$@"
    start=$SECONDS
    wait "$job" || status=$?
    echo "the job ended after $((SECONDS - start)) s with status $status:"
    grep -h 'was lost\|SignalException\|Signal 9' "$out/machine_0.log" | tail -n 1
    ((status != 0 && status != 124)) || { echo 'error: it should have failed' >&2; exit 1; }
}

kill_one() {
    local pid command
    for pid in $(ip netns pids "${spaces[1]}"); do
        command=$(tr '\0' ' ' <"/proc/$pid/cmdline")
        # Not the shell and not torchrun, which would tell the others.
        [[ "$command" != *torch.distributed.run* && "$command" == *python*train.py* ]] &&
            kill -9 "$pid"
    done
    return 0
}
cut_cable() { ip -n "${spaces[0]}" link set "m${id}a" down; }

lose 'the process of one machine is killed' kill_one
lose 'the cable is cut; env_cfg.dist_cfg.timeout=30' cut_cable
echo '== all of it works'
