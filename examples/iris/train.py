"""Train the two ops of the iris pipeline, a PCA and a random forest, or predict with a pair of them."""

import argparse
import json
from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    pca = steps.add_parser("pca", help="train a PCA")
    pca.add_argument("--components", type=int, required=True)
    pca.add_argument("--out", type=Path, required=True)
    forest = steps.add_parser("forest", help="train a random forest on what a PCA makes of the data")
    forest.add_argument("--pca", type=Path, required=True)
    forest.add_argument("--out", type=Path, required=True)
    predict = steps.add_parser("predict", help="predict with a pair, as JSON on standard output")
    predict.add_argument("--pca", type=Path, required=True)
    predict.add_argument("--forest", type=Path, required=True)
    asked = parser.parse_args()

    data, classes = load_iris(return_X_y=True)
    if asked.step == "pca":
        joblib.dump(PCA(n_components=asked.components, random_state=0).fit(data), asked.out)
    elif asked.step == "forest":
        reduced = joblib.load(asked.pca).transform(data)
        joblib.dump(RandomForestClassifier(n_estimators=50, random_state=0).fit(reduced, classes), asked.out)
    else:
        reduced = joblib.load(asked.pca).transform(data)
        print(json.dumps(joblib.load(asked.forest).predict_proba(reduced).tolist()))


if __name__ == "__main__":
    main()
