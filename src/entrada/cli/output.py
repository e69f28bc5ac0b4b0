"""Standard output that cannot be written: a full disk, a closed descriptor, a reader that went away.

    with output_that_arrives():    what was printed inside has arrived when the block ends, or
                                   OutputLost      it cannot be written: one sentence, exit status 1
                                   BrokenPipeError nobody reads it any more: not a word, exit status 1

Without it the interpreter would complain at its end, with a traceback and a status of its own, argparse would
swallow the error, and a standard output that was closed from the start would take everything without a word.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from entrada.errors import EntradaError


class OutputLost(EntradaError):
    code = "output_lost"

    def __init__(self, error: OSError) -> None:
        why = error.strerror or type(error).__name__
        super().__init__(
            f"What this command has to say could not be written ({why}).",
            hint="Look at where its output goes: a disk that is full, or nothing at all.",
        )


class _Descriptor(io.RawIOBase):
    """Standard output's descriptor, which remembers what went wrong with it; None: there is none."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.descriptor is not None and os.isatty(self.descriptor)

    def fileno(self) -> int:
        if self.descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self.descriptor

    def write(self, data: Any) -> int:
        if self.error is not None:
            return len(data)  # it is lost; whoever closes the stream need not hear of it again
        try:
            if self.descriptor is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return os.write(self.descriptor, data)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def output_that_arrives() -> Iterator[None]:
    """See above. Where something else stands in for standard output, as in tests, it is left alone."""
    stream, output = sys.stdout, _wrapped()
    if output is None:
        yield
        return
    descriptor, sys.stdout = output
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error is not descriptor.error or isinstance(error, BrokenPipeError):
            raise
        raise OutputLost(error) from None
    except SystemExit:
        if descriptor.error is not None:  # behind --help, of which argparse says that it went well
            raise OutputLost(descriptor.error) from None
        raise
    finally:
        sys.stdout = stream


def _wrapped() -> tuple[_Descriptor, io.TextIOWrapper] | None:
    stream = sys.stdout
    if stream is None:
        descriptor = _Descriptor(None)
        return descriptor, io.TextIOWrapper(io.BufferedWriter(descriptor), encoding="utf-8", errors="replace")
    if not isinstance(stream, io.TextIOWrapper) or stream is not sys.__stdout__:
        return None
    stream.flush()
    descriptor = _Descriptor(stream.fileno())
    return descriptor, io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n" if os.linesep == "\n" else None,
        line_buffering=stream.line_buffering,
    )
