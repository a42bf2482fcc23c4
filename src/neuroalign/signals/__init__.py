"""Preprocessing as plain functions: filters, epochs, scaling, spectrograms, volume series."""
