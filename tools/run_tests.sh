#!/usr/bin/env bash
# Sets the environment up as quickstart.sh does and runs the tests.
#
#   bash tools/run_tests.sh [PYTEST_ARGUMENT...]      e.g. -k soft_nms, or -n 0 for one process
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/misc/setup_env.sh"

setup_env tests
cd "$REPO_ROOT"
# One worker per core, one thread each: threads that wait for each other cost more than
# they bring on tests this small.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$VENV_PYTHON" -m pytest -q -n auto --dist loadfile "$@"
