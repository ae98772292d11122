"""Speed, measured as ratios within one run, and studies on real data. Run by hand, never in tests."""
