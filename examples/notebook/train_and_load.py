"""Train a PCA and a random forest, save both, link them, validate the pipeline, and load them."""

# %% Train. Another seed on the command line gives other models.
import sys

from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from opstore_cli import OpStoreClient

seed = int(sys.argv[1]) if sys.argv[1:] else 0
train, test, train_classes, test_classes = train_test_split(*load_iris(return_X_y=True), random_state=0)
pca = PCA(n_components=2, svd_solver="randomized", random_state=seed).fit(train)
forest = RandomForestClassifier(n_estimators=50, random_state=seed).fit(pca.transform(train), train_classes)
accuracy = forest.score(pca.transform(test), test_classes)

with OpStoreClient() as client:
    # %% Save. Loading skops runs no code; loading joblib does, so use it for models of your own.
    saved_pca = client.save("pca", pca, format="skops", bump="major")
    saved_forest = client.save("random_forest", forest, format="joblib", bump="major")
    pair = [f"{saved.op}@{saved.version}" for saved in (saved_pca, saved_forest)]

    # %% Record that they belong together, and validate.
    client.link(*pair, evidence=f"accuracy {accuracy:.3f} on {len(test)} flowers")
    client.register_pipeline("iris", ["pca", "random_forest"])
    verdict = client.validate_pipeline("iris", use=pair).verdict
    print(*pair, verdict)

    # %% Load, and predict.
    loaded_pca, loaded_forest = client.load(pair[0]), client.load(pair[1], allow_pickle=True)
    assert (loaded_forest.predict(loaded_pca.transform(test)) == forest.predict(pca.transform(test))).all()
