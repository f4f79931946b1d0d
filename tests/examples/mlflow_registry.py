"""Fill an MLflow registry in the given folder with a model of two versions. It runs in MLflow's environment."""

import sys
from pathlib import Path

import mlflow
from mlflow import MlflowClient

NAME = "Churn Model"


def main(root: Path) -> None:
    client = MlflowClient()
    mlflow.set_experiment("churn")
    client.create_registered_model(NAME)
    for number in (1, 2):
        with mlflow.start_run() as run:
            folder = root / f"model{number}"
            folder.mkdir(parents=True)
            (folder / "weights.bin").write_bytes(b"the weights of round %d" % number)
            (folder / "MLmodel").write_text("flavors: {}\n")
            mlflow.log_artifacts(str(folder), "model")
            source = f"{run.info.artifact_uri}/model"
            client.create_model_version(NAME, source, run.info.run_id, description=f"round {number}")
    client.set_registered_model_alias(NAME, "champion", "1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
