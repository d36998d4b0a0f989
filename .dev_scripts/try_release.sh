#!/usr/bin/env bash
# Installs the sdist and the wheel of this tree as a stranger would, and uses them.
#
#   bash .dev_scripts/try_release.sh FOLDER [PIP_ARGUMENT_FOR_TORCH...]
#
# In FOLDER, which is new or holds an environment "env": the wheel, OpenMIM, and the
# project of examples/mmaction2_project, trained and tested by MMAction2's own tools, by
# "mim ... mmaction2" and by "mim ... mmtal_mts"; a report of a video; the compiled
# operators, built from the sdist (TRY_OPS=0 leaves them out).
#
# Environment: PYTHON (python3). What pip is to install as torch is "torch" by default.
set -euo pipefail
if (($# < 1)) || [[ -e "$1/dist" ]]; then
    echo "usage: bash $0 FOLDER [PIP_ARGUMENT_FOR_TORCH...]" >&2
    exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
shift
unset PYTHONPATH

say() { printf '\n== %s\n' "$*"; }
quiet() { "$@" >"$folder/log" 2>&1 || { tail -n 30 "$folder/log"; exit 1; }; }

say 'environment'
"${PYTHON:-python3}" -m venv "$folder/env"
export PATH="$folder/env/bin:$PATH"
# OpenMIM needs pkg_resources, which newer setuptools have not.
quiet python -m pip install build wheel ninja 'setuptools>=70.1,<81'
quiet python -m pip install "${@:-torch}"

say 'sdist and wheel, built in a copy of the tree'
mkdir "$folder/tree"
(cd "$root" && tar cf - --exclude=.git --exclude=./data --exclude=./work_dirs --exclude=.venv .) |
    tar xf - -C "$folder/tree"
quiet python -m build --no-isolation --outdir "$folder/dist" "$folder/tree"
rm -r "$folder/tree"
ls -l "$folder/dist"

say 'installation, away from the repository'
cd "$folder"
quiet python -m pip install dist/*.whl
# Also over a wheel of the same version, in an environment that was there.
quiet python -m pip install --no-deps --force-reinstall dist/*.whl
quiet python -m pip install --no-deps -r "$root/requirements/mminstall.txt"
quiet python -m pip install openmim
# It brings setuptools 60, which breaks Python 3.12, and imports pkg_resources.
quiet python -m pip install 'setuptools>=70.1,<81'
# OpenMIM brings packages that replace the one OpenCV.
python "$root/tools/misc/check_env.py" --fix
python -m pip list 2>/dev/null | grep -iE '^(torch|numpy|mm|openmim|opencv|setuptools)'

say 'MMAction2 tools'
cp -r "$root/examples/mmaction2_project" project
cd project
export PYTHONPATH=.
mim=$(python -c 'import mmaction; print(mmaction.__path__[0])')/.mim
ours=$(python -c 'import mmtal_mts; print(mmtal_mts.__path__[0])')/.mim
config=configs/tal-mts_shapes.py
checkpoint=work_dirs/tal-mts_shapes/epoch_2.pth
python "$ours/tools/dataset_converters/generate_synthetic.py" data/shapes \
    --num-train 4 --num-test 2 --duration 9 12 --size 48 --fps 20
quiet python "$mim/tools/train.py" "$config"
python "$mim/tools/test.py" "$config" "$checkpoint" | tail -n 1

say 'mim train mmaction, mim test mmaction2: two names of the same'
rm -r work_dirs
quiet mim train mmaction "$config"
mim test mmaction2 "$config" --checkpoint "$checkpoint" | grep 'Epoch(test)' | tail -n 1

say 'mim train mmtal_mts, mim test mmtal_mts'
rm -r work_dirs
quiet mim train mmtal_mts "$config" --gpus 0
mim test mmtal_mts "$config" --checkpoint "$checkpoint" | grep 'Epoch(test)' | tail -n 1
# A config of the wheel, found by its name alone.
released=tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py
quiet mim train mmtal_mts "$released" --gpus 0 --cfg-options data_root=data/shapes/ \
    train_cfg.max_epochs=1 train_dataloader.dataset.data_root=data/shapes/ \
    val_dataloader.dataset.data_root=data/shapes/ val_evaluator.ann_file=data/shapes/annotations.json \
    train_dataloader.batch_size=1
ls work_dirs

say 'a report'
python "$ours/tools/infer.py" data/shapes/videos/*0.mp4 --model "$config" \
    --weights "$checkpoint" --out report
ls report

if [[ "${TRY_OPS:-1}" == 1 ]]; then
    say 'compiled operators, from the sdist'
    unset PYTHONPATH
    MMTAL_WITH_OPS=1 quiet python -m pip install --no-deps --no-build-isolation \
        --force-reinstall "$folder"/dist/*.tar.gz
    python -c 'import sys; from mmtal_mts.ops import compiled_ops_problem as problem; sys.exit(problem())'
fi
say 'all of it works'
