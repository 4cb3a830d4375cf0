"""Ours beside the named peers, in one run, as ratios: ``python -m benchmarks [name ...] [--peers]``."""
