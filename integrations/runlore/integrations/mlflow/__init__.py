"""MLflow: ``MLFLOW_TRACKING_URI=runlore+<URI>`` records what MLflow is told; `importer` brings what it was told before."""
