"""Two ops on the iris data, in three pipelines: `train` both, `train-pca` alone, or `predict` with what is stored."""

import argparse
import sys

from pipelines import Application, Field, LearningOp, Node, Op, Pipeline, VersionError
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier

from opstore_cli import OpStoreClient


class Measures(Op):
    """Select the measures of the flowers from the data."""

    def execute(self, flowers):
        return flowers.data


class Pca(LearningOp):
    """Reduce the measures. Their number is a major field: no later op can work with another one."""

    components = Field(2, "major")
    seed = Field(0, "patch")

    def fit(self, measures):
        return PCA(n_components=self.components, random_state=self.seed).fit(measures)

    def execute(self, measures):
        return self.state.transform(measures)


class Forest(LearningOp):
    """Predict the species of a flower."""

    trees = Field(50, "minor")

    def fit(self, measures):
        return RandomForestClassifier(n_estimators=self.trees, random_state=0).fit(measures, load_iris().target)

    def execute(self, measures):
        return self.state.predict(measures)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", choices=["train", "train-pca", "predict"])
    parser.add_argument("--components", type=int, default=2, help="what the code declares of the PCA")
    asked = parser.parse_args()
    Pca.components = Field(asked.components, "major")

    def chain(name, learning):
        measures, pca, forest = Node(Measures()), None, None
        pca = Node(Pca(), (measures,), learns="pca" in learning)
        forest = Node(Forest(), (pca,), learns="forest" in learning)
        return Pipeline(name, measures, pca, forest)

    measures = Node(Measures())
    pipelines = {
        "train": chain("train", ["pca", "forest"]),
        "train-pca": Pipeline("train-pca", measures, Node(Pca(), (measures,), learns=True)),
        "predict": chain("predict", []),
    }
    flowers = load_iris()
    with OpStoreClient() as store:
        application, pipeline = Application(store, *pipelines.values()), pipelines[asked.pipeline]
        if asked.pipeline == "predict":
            try:
                application.load(pipeline)
            except VersionError as error:
                sys.exit(f"refused: {error}")
            right = (pipeline.run(flowers) == flowers.target).mean()
            print(f"{right:.0%} of {len(flowers.target)} flowers are right")
            return
        pipeline.run(flowers)
        application.save(pipeline)
        print(", ".join(f"trained {node.name}" for node in pipeline.nodes if node.learns))


if __name__ == "__main__":
    main()
