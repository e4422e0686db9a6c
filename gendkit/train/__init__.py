"""Recipes and the engine that tunes layer norms."""
