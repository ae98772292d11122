"""Tests of `plurality.core`."""
