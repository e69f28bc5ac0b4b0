"""Benchmarks: Entrada beside its peers, in one run on this machine. `python -m bench --help`."""
