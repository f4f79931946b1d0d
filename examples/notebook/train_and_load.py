"""Trains a PCA and a random forest, saves both, says that they fit, asks whether they may be used, and loads them."""

# %% Train. A seed on the command line makes other models.
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
    # %% Save. skops runs no code when it is loaded; joblib does, and is for models of our own.
    saved_pca = client.save("pca", pca, format="skops", bump="major")
    saved_forest = client.save("random_forest", forest, format="joblib", bump="major")
    pair = [f"{saved.op}@{saved.version}" for saved in (saved_pca, saved_forest)]

    # %% Say that they fit, and ask.
    client.link(*pair, evidence=f"accuracy {accuracy:.3f} on {len(test)} flowers")
    client.register_pipeline("iris", ["pca", "random_forest"])
    verdict = client.validate_pipeline("iris", use=pair).verdict
    print(*pair, verdict)

    # %% Load, and predict with what came back.
    loaded_pca, loaded_forest = client.load(pair[0]), client.load(pair[1], allow_pickle=True)
    assert (loaded_forest.predict(loaded_pca.transform(test)) == forest.predict(pca.transform(test))).all()
