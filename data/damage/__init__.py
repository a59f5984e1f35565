"""Damage that measured samples themselves show: spikes, lost blocks, clipping, and what can be done about it."""
