"""Longer experiments with the finished system: run by hand, their results recorded in docs/results."""
