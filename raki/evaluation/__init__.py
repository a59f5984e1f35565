"""Judging reconstructions: metrics, noise maps, comparison, report."""
