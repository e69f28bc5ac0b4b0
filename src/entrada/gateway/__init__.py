"""The ASGI server that `entrada serve` runs."""
