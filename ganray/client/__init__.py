"""Sends sweeps to clusters, and reads how they are."""
