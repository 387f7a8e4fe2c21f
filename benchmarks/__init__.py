"""Ratios of ours against a named baseline, measured in one run on one machine."""
