"""What identifies an encoder, whatever runtime and number format its weights are in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from whisper_steer.models.hooks import unwrap

_fingerprints: WeakKeyDictionary[nn.Module, tuple[object, str]] = WeakKeyDictionary()


def encoder_fingerprint(encoder: nn.Module) -> str:
    """What identifies an encoder: SHA-256 over its weights in fp16, as ``"sha256:<64 hex digits>"``.

    The same for fp16 and fp32 copies of one checkpoint; a bfloat16 copy has another, see `bfloat16_fingerprint`.
    Takes an openai-whisper ``AudioEncoder``, also compiled. Buffers are left out: the sinusoidal positions are a
    buffer there but a parameter in transformers, and equal in all models of one width. Remembered until a weight is
    replaced or written in place (other than through ``.data``), as the large encoders take seconds.
    """
    encoder, weights = unwrap(encoder), encoder_weights(encoder)
    state = tuple((w.data_ptr(), w.dtype, 0 if w.is_inference() else w._version) for w in weights.values())
    if encoder not in _fingerprints or _fingerprints[encoder][0] != state:
        _fingerprints[encoder] = (state, weights_fingerprint(weights))
    return _fingerprints[encoder][1]


def bfloat16_fingerprint(encoder: nn.Module) -> str:
    """The `encoder_fingerprint` that the encoder has once its weights are rounded to bfloat16."""
    return weights_fingerprint({k: w.detach().bfloat16() for k, w in encoder_weights(encoder).items()})


def encoder_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """Its parameters under their own names, without what `torch.compile` puts before them."""
    return {k.replace("_orig_mod.", ""): weight for k, weight in unwrap(encoder).named_parameters()}


def weights_fingerprint(weights: Mapping[str, Tensor]) -> str:
    """The rule of `encoder_fingerprint` on tensors under openai-whisper's parameter names.

    For each name in sorted order, the line ``"<name> <shape, joined by x>\\n"`` in UTF-8, then the values as
    little-endian fp16 in C order.
    """
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = (
            weights[name].detach().to("cpu", torch.float16).contiguous().numpy().astype("<f2", copy=False)
        )
        digest.update(f"{name} {'x'.join(map(str, values.shape))}\n".encode())
        digest.update(values.tobytes())
    return f"sha256:{digest.hexdigest()}"
