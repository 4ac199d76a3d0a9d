"""Exported models: folders that recommend without a data set, as ONNX and as MLflow models, too."""
