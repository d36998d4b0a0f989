#!/usr/bin/env bash
# Sets the environment up as quickstart.sh does and runs the tests.
#
#   bash tools/run_tests.sh [PYTEST_ARGUMENT...]      e.g. -k soft_nms
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/misc/setup_env.sh"

setup_env tests
cd "$REPO_ROOT"
exec "$VENV_PYTHON" -m pytest -q "$@"
