"""Losses, batches and the fit loop."""
