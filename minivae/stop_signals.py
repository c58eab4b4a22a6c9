"""Stopping between two steps, and not within one."""

import contextlib
import signal
import threading

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_stops = []  # the event of the block that this process is in


@contextlib.contextmanager
def stop_signals():
    """An event that SIGINT, SIGTERM or SIGHUP (a closed terminal) sets, so that no step is cut in half.

    A second SIGINT interrupts at once.  What is ignored, as under nohup, stays ignored.  A block within a block has the
    same event.
    """
    if threading.current_thread() is not threading.main_thread():
        yield threading.Event()  # only the main thread may handle signals
        return
    if _stops:
        yield _stops[0]
        return
    stop = threading.Event()

    def handle(number, frame):
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    kept = {number: signal.signal(number, handle) for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN}
    _stops.append(stop)
    try:
        yield stop
    finally:
        _stops.clear()
        for number, handler in kept.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
