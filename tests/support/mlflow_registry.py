"""Fill an MLflow registry: `python mlflow_registry.py FOLDER`. It runs in a process of its own, as MLflow is slow."""

import shutil
import sys
from pathlib import Path

from mlflow import MlflowClient


def main(root: Path) -> None:
    """Register a model of three versions, of which the last one has lost its files, and one with an illegal name."""
    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.create_experiment("churn", artifact_location=str(root / "artifacts"))
    client.create_registered_model("Churn Model", description="who leaves")
    source = ""
    for number in (1, 2, 3):
        run = client.create_run(experiment).info
        client.log_metric(run.run_id, "auc", 0.9 + number / 100)
        (root / "model" / "data").mkdir(parents=True, exist_ok=True)
        (root / "model" / "MLmodel").write_text("flavors: {}\n")
        (root / "model" / "data" / "weights.bin").write_bytes(b"the weights of round %d" % number)
        client.log_artifacts(run.run_id, str(root / "model"), "model")
        source = f"{run.artifact_uri}/model"
        client.create_model_version("Churn Model", source, run.run_id, {"team": "fraud"}, description=f"round {number}")
    shutil.rmtree(source)
    client.set_registered_model_alias("Churn Model", "champion", "1")
    client.create_registered_model("it's 50% @home")
    client.create_model_version("it's 50% @home", str(root / "model"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
