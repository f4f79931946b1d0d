#!/bin/sh
# The main job on real input: two ops of a pipeline, trained, pushed, validated, retrained and pulled.
# Everything stays in .demo at the top of the project; the user's own data folder is not touched.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$(cd "$here/../.." && pwd)/.demo
OPSTORE_HOME="$work/home"
export OPSTORE_HOME
unset OPSTORE_URL OPSTORE_TOKEN OPSTORE_TOKEN_FILE OPSTORE_NO_AUTOSTART || true

opstore stop >/dev/null 2>&1 || true
rm -rf "$work"
mkdir -p "$work"
cd "$work"
trap 'opstore stop >/dev/null 2>&1 || true' EXIT

title() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

# Prints the words of a command as they have to be typed.
quoted() {
    for word in "$@"; do
        case $word in
            *[!A-Za-z0-9_@%+=:,./-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
}

# Prints a command, runs it and checks its exit code.
expect() {
    wanted=$1
    shift
    printf '$%s\n' "$(quoted "$@")"
    code=0
    "$@" || code=$?
    if [ "$code" -ne "$wanted" ]; then
        printf 'the demo expected the exit code %s, and got %s\n' "$wanted" "$code" >&2
        exit 70
    fi
    [ "$wanted" -eq 0 ] || printf '(exit code %s)\n' "$code"
}

run() { expect 0 "$@"; }

train() { run python "$here/train.py" "$@"; }

title "Train a PCA and a random forest on the iris data, and push both"
train pca --components 2 --out pca.joblib
run opstore push pca pca.joblib -m "2 components"
train forest --pca pca.joblib --out forest.joblib
run opstore push random_forest forest.joblib --valid-with pca@1.0.0 -m "trained on pca@1.0.0"

title "Register the pipeline: its latest versions are valid together"
run opstore pipeline register iris pca random_forest
run opstore validate iris

title "Retrain the PCA with 3 components, as a new major version: the forest has never seen such data"
train pca --components 3 --out pca.joblib
run opstore push pca pca.joblib --bump major -m "3 components"
expect 1 opstore validate iris

title "Whoever loads the pipeline now gets the newest PCA that is valid for the forest"
run opstore pull pca --valid-for random_forest -o pca-for-forest.joblib

title "Retrain the forest on the new PCA: the latest versions are valid together again"
train forest --pca pca.joblib --out forest.joblib
run opstore push random_forest forest.joblib --valid-with pca@2.0.0 -m "trained on pca@2.0.0"
run opstore validate iris
run opstore versions pca
run opstore links

title "Pull both, as the pipeline has them, and compare the predictions with those of the trained pair"
run opstore pull pca --pipeline iris -o pulled-pca.joblib
run opstore pull random_forest --pipeline iris -o pulled-forest.joblib
python "$here/train.py" predict --pca pca.joblib --forest forest.joblib >trained.json
python "$here/train.py" predict --pca pulled-pca.joblib --forest pulled-forest.joblib >pulled.json
run cmp trained.json pulled.json
printf '\nThe predictions are equal: %s bytes of probabilities for 150 flowers.\n' "$(wc -c <pulled.json | tr -d ' ')"
