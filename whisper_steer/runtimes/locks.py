"""One decoding at a time by a model, for runtimes that are not safe by themselves.

openai-whisper's decoder keeps its cache in hooks on the model; and in mode "steer" hooks sit on the encoder meanwhile.
"""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from torch import nn

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_making_lock = threading.Lock()


def lock_of(module: nn.Module) -> threading.RLock:
    """What a thread holds while a model, or one with this encoder, decodes."""
    with _making_lock:
        return _locks.setdefault(module, threading.RLock())
