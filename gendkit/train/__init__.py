"""Recipes and the engine that tunes a backbone."""
