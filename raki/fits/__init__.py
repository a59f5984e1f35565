"""Fitted interpolators on disk: learn once, fill in many times."""
