#!/usr/bin/env bash
# Trains, tests and publishes the models of the synthetic data.
#
#   bash .dev_scripts/train_zoo.sh [NAME...]
#
# NAME is a config without .py; by default the rows of Table VI and the flow baseline. Into
# work_dirs/NAME/release go the weights and NAME.log.json, the losses and learning rates
# of each logged iteration; zoo/ has those that are kept in the repository. What is done
# is kept, and a training that was interrupted goes on. Run it in the environment of the
# quick start, whose data set it uses or makes.
#
# Environment: PYTHON (python).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python="${PYTHON:-python}"
names=("$@")
if ((${#names[@]} == 0)); then
    for variant in baseline rfp stt rfp-stt; do
        names+=("ablation_${variant}_i3d-tiny_1xb4-128x48x48_synthetic")
    done
    names+=(
        tal-mts_i3d-tiny_1xb4-128x48x48_synthetic
        ablation_baseline_i3d-tiny_1xb4-128x48x48_synthetic-flow
    )
fi

"$python" tools/dataset_converters/generate_synthetic.py data/synthetic
for name in "${names[@]}"; do
    config="$(find configs -name "$name.py")"
    work_dir="work_dirs/$name"
    release="$work_dir/release"
    if ! compgen -G "$release/$name-????????.pth" >/dev/null; then
        mkdir -p "$release"
        if [[ "$name" == *-flow ]]; then
            "$python" tools/dataset_converters/extract_clips.py data/synthetic/videos \
                data/synthetic --ann data/synthetic/annotations.json \
                --modalities Flow --flow-method dis --side 54
        fi
        "$python" tools/train.py "$config" --resume --seed 0 --no-validate
        checkpoint="$(cat "$work_dir/last_checkpoint")"
        "$python" tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test"
        # An interrupted training has several folders, each with a part of the log.
        cat "$work_dir"/2*/vis_data/scalars.json >"$release/$name.log.json"
        "$python" tools/deployment/publish_model.py "$checkpoint" "$release" --name "$name"
    fi
    # The last line of the test, also of an earlier call.
    cat "$work_dir"/test/*/*.log | grep -h 'Epoch(test)' | tail -n 1
done
echo 'enter results into configs/tal_mts/metafile.yml, then run'
echo 'python .dev_scripts/make_model_zoo.py'
