"""A port as it is written on a command line: a number that a socket takes, or wrong use (exit status 2)."""

from __future__ import annotations

import argparse

_LAST = 65535


def port_number(text: str) -> int:
    """For `type=` of argparse: 0 lets the machine choose.

    Raises:
        argparse.ArgumentTypeError: no whole number from 0 to 65535.
    """
    if text.isascii() and text.isdigit() and int(text) <= _LAST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to {_LAST}")
