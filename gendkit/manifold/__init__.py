"""Embeddings on the unit sphere: the store, nearest neighbours and maps."""
