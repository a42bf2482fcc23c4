"""Presets: settings that a recipe starts from."""
