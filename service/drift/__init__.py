"""Monitors the rewards of loaded versions: drift, saturation, length, spread. No text is kept."""
