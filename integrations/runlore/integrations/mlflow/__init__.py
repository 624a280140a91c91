"""MLflow: ``MLFLOW_TRACKING_URI=runlore+<URI>`` records what MLflow is told; `importer` brings its past."""
