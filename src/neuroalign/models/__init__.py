"""Alignment layers, shared networks, neural modules, the common space and bundles."""
