"""Standard streams that no character, full disk or closed terminal can make fail."""

import contextlib
import errno
import io
import os
import sys

GONE = (errno.EPIPE, errno.EIO, errno.EINVAL)  # a reader that has read enough, a closed terminal, the former on Windows


class Stream(io.TextIOBase):
    """A standard stream in place of the interpreter's own, which may be None.

    A character that its encoding lacks is written as "?".  Once an operation has failed, what is written is dropped and
    nothing more is read: a training goes on without its terminal.  `failure` is the error.
    """

    def __init__(self, stream):
        self.stream, self.failure = stream, None

    @property
    def encoding(self):
        return getattr(self.stream, "encoding", None) or "utf-8"

    @property
    def errors(self):
        return "replace"

    def fileno(self):
        return super().fileno() if self.stream is None else self.stream.fileno()

    def isatty(self):
        return bool(self._attempt("isatty"))

    def readline(self, size=-1):
        return self._attempt("readline", size) or ""

    def write(self, text):
        try:
            self._attempt("write", text)
        except UnicodeEncodeError:
            self._attempt("write", text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self):
        self._attempt("flush")

    def lost(self):
        """1, with a line that says so, where something written is lost though somebody wanted to read it; else 0."""
        self.flush()
        if not isinstance(self.failure, OSError) or self.failure.errno in GONE:
            return 0
        print(f"minivae: the output is lost: {self.failure.strerror or self.failure}", file=sys.stderr)
        return 1

    def _attempt(self, verb, *arguments):
        if self.stream is None or self.failure is not None:
            return None
        try:
            return getattr(self.stream, verb)(*arguments)
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a closed file, or bytes that are no text
            self.failure = error
            with contextlib.suppress(OSError, ValueError):  # the interpreter flushes it once more, at its end
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, self.stream.fileno())
                os.close(null)
            return None


@contextlib.contextmanager
def lasting():
    """Inside the block the standard streams are Streams; gives the output."""
    kept = sys.stdin, sys.stdout, sys.stderr
    if None in kept:
        _occupy()
    sys.stdin, sys.stdout, sys.stderr = map(Stream, kept)
    try:
        yield sys.stdout
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = kept


def _occupy():
    """Open what is closed of the first three descriptors, lest a checkpoint become some library's standard error."""
    with contextlib.suppress(OSError):
        while (null := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(null)
