"""Sweeps on a cluster, from any machine that reaches its dashboard: over HTTP, without Ray."""
