"""Ours but for the service and the exporter: core, stats, training, evaluation, sidecar, synthetic, cli.

Imports nothing: `plurality.stats` works where only numpy is.
"""
