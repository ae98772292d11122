"""The papers' protocols on models: predictions of a bundle, scores by slice, plots."""
