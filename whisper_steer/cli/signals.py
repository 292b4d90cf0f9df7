"""A process that is told to end removes its temporary folders first, which hold gigabytes.

The handler does so itself: an exception raised by it would be lost in a callback from C, as libsndfile's are.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from whisper_steer.files.scratch import remove_all


@contextmanager
def tidying_up() -> Iterator[None]:
    """Meanwhile SIGTERM and SIGHUP remove the temporary folders before they end the process, as they do by default.

    Where they are ignored, as under nohup, or handled already, they stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [each for each in signals if signal.getsignal(each) == signal.SIG_DFL]
    for each in ours:
        signal.signal(each, _end)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    remove_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
