"""What whisper-steer takes from inside other packages, one test each, so that a new version says what it broke.

`pyproject.toml` bounds each of these packages below the next version in which such a thing may change; the bound is
raised once these pass on it.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from types import FunctionType
from typing import Any

import pytest

needs = {
    name: pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
    for name in ("faster_whisper", "ctranslate2", "transformers", "silero_vad", "tokenizers")
}


def takes(function: Any, *names: str) -> bool:
    return set(names) <= set(inspect.signature(function).parameters)


def test_openai_whisper_transcribe_can_be_run_with_our_spectrogram() -> None:
    """`runtimes/openai.py`: stock's own loop, over another ``log_mel_spectrogram``."""
    import whisper

    loop = whisper.transcribe
    assert isinstance(loop, FunctionType) and "log_mel_spectrogram" in loop.__code__.co_names
    assert takes(loop, "clip_timestamps", "condition_on_previous_text", "temperature", "no_speech_threshold")
    assert {"decode", "is_multilingual", "device", "detect_language"} <= {*dir(whisper.Whisper)}


def test_openai_whisper_decoding_can_be_watched() -> None:
    """`guard/decode.py` and `lens/`: `DecodingTask` has its filters, features and options where they are read."""
    from whisper.decoding import DecodingOptions, DecodingTask, LogitFilter

    assert takes(LogitFilter.apply, "logits", "tokens")
    written = inspect.getsource(DecodingTask)
    for name in (
        "self.logit_filters",
        "self.n_group",
        "self.sample_begin",
        "def _get_audio_features",
        "self.tokenizer",
    ):
        assert name in written, name
    fields = set(DecodingOptions.__dataclass_fields__)
    assert {"task", "without_timestamps", "prompt", "prefix", "suppress_blank"} <= fields


def test_openai_whisper_encoder_has_the_parts_that_listening_runs() -> None:
    """`encoders/prefix.py`: two convolutions, blocks, and the last layer norm."""
    from whisper.model import AudioEncoder, ResidualAttentionBlock

    encoder = AudioEncoder(80, 1500, 64, 2, 1)
    assert {"conv1.weight", "conv2.bias", "blocks.0.attn.key.weight", "ln_post.weight"} <= {
        *encoder.state_dict()
    }
    assert encoder.positional_embedding.shape == (1500, 64)
    assert takes(ResidualAttentionBlock.__init__, "n_state", "n_head", "cross_attention")


@needs["faster_whisper"]
def test_faster_whisper_takes_clips_and_shows_its_encoder() -> None:
    """`runtimes/faster.py`, `guard/ct2.py`: ``clip_timestamps``, ``encode``, and the model inside it."""
    import faster_whisper
    from faster_whisper import transcribe as inside

    assert takes(
        faster_whisper.WhisperModel.transcribe, "clip_timestamps", "vad_filter", "no_repeat_ngram_size"
    )
    assert takes(faster_whisper.BatchedInferencePipeline.transcribe, "clip_timestamps", "batch_size")
    assert takes(faster_whisper.WhisperModel.encode, "features")
    assert takes(inside.restore_speech_timestamps, "segments", "speech_chunks", "sampling_rate")
    assert {"duration", "duration_after_vad", "language"} <= {*inside.TranscriptionInfo.__dataclass_fields__}
    assert "self.model.generate" in inspect.getsource(faster_whisper.WhisperModel.generate_with_fallback)


@needs["ctranslate2"]
def test_ctranslate2_generates_and_aligns() -> None:
    """`guard/ct2.py`: what stands in for its model has these."""
    import ctranslate2

    methods = dir(ctranslate2.models.Whisper)
    assert {"generate", "align", "encode", "detect_language", "is_multilingual"} <= {*methods}


@needs["transformers"]
def test_transformers_generate_takes_masked_rows_and_gives_segments() -> None:
    """`runtimes/hf_model.py`, `hf_pipeline.py`: options of `generate`, and the pipeline's parameters."""
    from transformers import WhisperForConditionalGeneration
    from transformers.pipelines.base import Pipeline

    generate = WhisperForConditionalGeneration.generate
    assert takes(generate, "attention_mask", "return_segments", "return_timestamps", "language")
    made = inspect.getsource(Pipeline.__init__)
    for name in ("_preprocess_params", "_postprocess_params", "_batch_size"):
        assert f"self.{name}" in made, name


@needs["tokenizers"]
def test_tokenizers_builds_whispers_tokenizer() -> None:
    """`formats/tokenizer.py`: byte-level BPE from merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert Tokenizer(models.BPE()) and AddedToken("<|endoftext|>") and decoders.ByteLevel()
    assert pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


@needs["silero_vad"]
def test_silero_vad_gives_timestamps_at_the_options_of_a_vad_filter() -> None:
    """`eval/vads.py`: the baseline."""
    import silero_vad

    names = (
        "threshold",
        "min_silence_duration_ms",
        "speech_pad_ms",
        "min_speech_duration_ms",
        "max_speech_duration_s",
    )
    assert takes(silero_vad.get_speech_timestamps, *names)
