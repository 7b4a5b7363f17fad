"""The run's own record, and MLflow as its projection."""
