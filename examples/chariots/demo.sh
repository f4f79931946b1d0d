#!/bin/sh
# An application in the manner of chariots, on a store of its own in a temporary folder.
# Run it with the project's environment on the path: PATH="$PWD/.venv/bin:$PATH" sh examples/chariots/demo.sh
set -eu

here=$(cd "$(dirname "$0")" && pwd)
OPSTORE_HOME=$(mktemp -d)
export OPSTORE_HOME
unset OPSTORE_URL OPSTORE_TOKEN OPSTORE_TOKEN_FILE OPSTORE_NO_AUTOSTART || true
trap 'opstore stop >/dev/null 2>&1 || true; rm -rf "$OPSTORE_HOME"' EXIT

# Prints a title, runs a command and checks its exit code.
expect() {
    wanted=$1
    printf '\n# %s\n$ %s\n' "$2" "$3"
    code=0
    (cd "$here" && eval "$3") || code=$?
    if [ "$code" -ne "$wanted" ]; then
        printf 'the demo expected the exit code %s, and got %s\n' "$wanted" "$code" >&2
        exit 70
    fi
}

expect 1 "Nothing was trained yet; the application registers its pipelines" "python iris.py predict"
expect 0 "Train a PCA with 2 components, and a forest on what it makes" "python iris.py train"
expect 0 "Another process predicts with both" "python iris.py predict"
expect 0 "The code now declares 3 components, and the PCA alone is trained" "python iris.py train-pca --components 3"
expect 1 "The forest has never seen such data" "python iris.py predict --components 3"
expect 1 "Nor does the store call that valid" "opstore validate predict"
expect 0 "Train both, and they belong together again" "python iris.py train --components 3"
expect 0 "So predictions are right" "python iris.py predict --components 3"
expect 0 "The store has every version, and what is valid for what" "opstore versions pca && opstore links"
