#!/usr/bin/env bash
# Builds the documentation to docs/_build/html; a warning is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/misc/setup_env.sh
setup_env docs
"$VENV_PYTHON" -m sphinx -W -q docs docs/_build/html
echo 'docs/_build/html/index.html'
