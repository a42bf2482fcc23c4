"""Scores with chance levels and intervals; baselines to hold them against."""
