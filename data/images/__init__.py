"""Reconstructions to disk, one module per format."""
