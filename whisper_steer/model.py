"""openai-whisper's ``whisper.model`` under this package's name: the modules of a model.

`Whisper` is stock's, whose own ``transcribe`` is unsteered; `whisper_steer.load_model` returns a subclass of it.
"""

from whisper.model import (
    AudioEncoder,
    Conv1d,
    LayerNorm,
    Linear,
    ModelDimensions,
    MultiHeadAttention,
    ResidualAttentionBlock,
    TextDecoder,
    Whisper,
    disable_sdpa,
    sinusoids,
)

__all__ = [
    "AudioEncoder",
    "Conv1d",
    "LayerNorm",
    "Linear",
    "ModelDimensions",
    "MultiHeadAttention",
    "ResidualAttentionBlock",
    "TextDecoder",
    "Whisper",
    "disable_sdpa",
    "sinusoids",
]
