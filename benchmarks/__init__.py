"""Speed, measured as ratios within one run. Run by hand, never in tests."""
