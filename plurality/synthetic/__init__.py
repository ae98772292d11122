"""The demo: generated preference data with a known ground truth, and the run from data to served scores."""
