"""Inline: MRD streams in, images out as soon as their lines are there."""
