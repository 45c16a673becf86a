"""Benchmarks that come with their controls, and the predictors that are measured by them."""
