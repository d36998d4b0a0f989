#!/usr/bin/env bash
# Creates .venv and installs what is needed; sourced by quickstart.sh, run_tests.sh and
# install_full.sh.
#
#   source tools/misc/setup_env.sh
#   setup_env [PART...]      e.g. setup_env tests
#
# A part is a file of requirements/, or a function install_PART of the script that sources
# this one. Afterwards $VENV_PYTHON is the interpreter to use. Quick when nothing has
# changed.
#
# Environment:
#   PYTHON       interpreter to create the environment with (3.10 to 3.13)
#   MMTAL_VENV   where the environment is or goes; by default .venv
#   MMTAL_TORCH  what to hand to "pip install" for torch, options included; by default
#                torch==2.13.0. An installed torch is kept.

REPO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
VENV="${MMTAL_VENV:-$REPO_ROOT/.venv}"
[[ "$VENV" == /* ]] || VENV="$PWD/$VENV"
VENV_PYTHON="$VENV/bin/python"
INSTALL_LOG="$REPO_ROOT/work_dirs/quickstart/install.log"

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the comment at the top of the script that was called.
usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
}

# Runs a command with its output in the log, behind one line of progress.
step() {
    local title=$1 start=$SECONDS
    shift
    printf '%-52s' "[install] $title ..."
    printf '\n== %s: %s\n' "$title" "$*" >>"$INSTALL_LOG"
    if ! "$@" >>"$INSTALL_LOG" 2>&1; then
        printf 'failed\n'
        tail -n 15 "$INSTALL_LOG" >&2
        fail "\"$title\" failed; the whole log is $INSTALL_LOG"
    fi
    printf '%4d s\n' $((SECONDS - start))
}

python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1
}

create_venv() {
    if [[ -n "${PYTHON:-}" ]]; then
        command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON does not exist"
        python_fits "$PYTHON" ||
            fail "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1); needed is 3.10 to 3.13"
    else
        for PYTHON in python3 python3.{13,12,11,10} python ''; do
            [[ -z "$PYTHON" ]] || ! python_fits "$PYTHON" || break
        done
        [[ -n "$PYTHON" ]] || fail "no Python 3.10 to 3.13 found. Install one, or name" \
            "one: PYTHON=/path/to/python bash $0"
    fi
    "$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "$("$PYTHON" --version) has no venv module." \
            "On Debian and Ubuntu: apt install python3-venv"
    step "environment ($("$PYTHON" --version))" "$PYTHON" -m venv "$VENV"
}

pip_install() {
    "$VENV_PYTHON" -m pip install --disable-pip-version-check "$@"
}

install_openmmlab() {
    local kept='^$'
    # An installed full mmcv is kept.
    ! "$VENV_PYTHON" -m pip show -q mmcv >/dev/null 2>&1 || kept='^mmcv'
    pip_install --no-deps -r <(grep -v "$kept" requirements/mminstall.txt)
}

install_base() {
    local wanted=(${MMTAL_TORCH:-torch==2.13.0})
    "$VENV_PYTHON" -c 'import torch' >/dev/null 2>&1 ||
        step "${wanted[0]}" pip_install "${wanted[@]}"
    step 'required packages' pip_install -r requirements/runtime.txt
    # Without their dependencies: see requirements/runtime.txt.
    step 'MMEngine, MMCV (lite), MMAction2' install_openmmlab
    step 'mmtal_mts' pip_install --no-deps -e .
    step 'check' "$VENV_PYTHON" tools/misc/check_env.py --fix
}

# A number for all that an environment depends on.
fingerprint() {
    {
        "$VENV_PYTHON" --version && pwd
        compgen -G "$VENV/lib/python*/site-packages/torch-*.dist-info" || true
        cat setup.py tools/{install_full,misc/setup_env}.sh requirements/*.txt
        find mmtal_mts/ops/csrc -type f | LC_ALL=C sort | xargs cat
    } | cksum
}

setup_env() {
    local part stamp
    mkdir -p "$(dirname "$INSTALL_LOG")"
    "$VENV_PYTHON" -m pip --version >/dev/null 2>&1 || create_venv
    pushd "$REPO_ROOT" >/dev/null
    for part in base "$@"; do
        stamp="$VENV/.mmtal_mts_$part"
        [[ -f "$stamp" && "$(cat "$stamp")" == "$(fingerprint)" ]] && continue
        if declare -F "install_$part" >/dev/null; then
            "install_$part"
        else
            step "packages for $part" pip_install -r "requirements/$part.txt"
        fi
        fingerprint >"$stamp"
    done
    popd >/dev/null
}
