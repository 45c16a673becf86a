"""The whole paper on synthetic chests: from nothing to an evaluated model, and the study over several seeds."""
