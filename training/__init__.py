"""A recipe -> a trained model, and the record of how it came about. `run.run` does it."""
