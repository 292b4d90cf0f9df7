"""A model of openai-whisper as `WhisperForConditionalGeneration`, in memory or as a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from whisper_steer.errors import MissingPackageError, ModelError
from whisper_steer.formats.names import to_hf
from whisper_steer.formats.tokenizer import language_tokens, make_tokenizer, number_of_languages
from whisper_steer.models.attention import alignment_heads

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration


def import_transformers() -> Any:
    """The optional package; `MissingPackageError` where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise MissingPackageError(
            "this needs the package transformers: pip install 'whisper-steer[transformers]'"
        ) from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no remarks of transformers, which a small file on disk does not need."""
    logging = import_transformers().utils.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def build_hf(model: Whisper) -> WhisperForConditionalGeneration:
    """The same weights in transformers, float32 on the CPU, with the generation config of OpenAI's checkpoints.

    Raises `MissingPackageError`.
    """
    transformers = import_transformers()
    dims, tokenizer = model.dims, _tokenizer(model)
    config = transformers.WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        encoder_attention_heads=dims.n_audio_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_layers=dims.n_text_layer,
        decoder_attention_heads=dims.n_text_head,
        decoder_ffn_dim=4 * dims.n_text_state,
        max_source_positions=dims.n_audio_ctx,
        max_target_positions=dims.n_text_ctx,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        pad_token_id=tokenizer.eot,
        decoder_start_token_id=tokenizer.sot,
    )
    converted = transformers.WhisperForConditionalGeneration(config).eval()
    weights = {to_hf(name): weight.float() for name, weight in model.state_dict().items()}
    converted.model.load_state_dict({k: v for k, v in weights.items() if k != "alignment_heads"})
    converted.tie_weights()
    converted.generation_config = _generation_config(model, tokenizer)
    return converted


def read_hf(folder: str | Path) -> Any:
    """The `WhisperForConditionalGeneration` in a folder. Raises `MissingPackageError`, `ModelError`."""
    transformers = import_transformers()
    try:
        with quiet():
            return transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    except Exception as error:  # transformers fails in its own ways on files that it cannot read
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{folder} is no folder of transformers ({reason}): copy or export it again"
        ) from None


def load_hf(folder: Path) -> Whisper:
    """What `build_hf` makes of a model, back in openai-whisper: the weights of a folder of transformers, float32 on the
    CPU. Raises `MissingPackageError`, `ModelError`."""
    loaded = read_hf(folder)
    config, weights = loaded.config, loaded.model.state_dict()
    dims = ModelDimensions(
        n_mels=config.num_mel_bins,
        n_audio_ctx=config.max_source_positions,
        n_audio_state=config.d_model,
        n_audio_head=config.encoder_attention_heads,
        n_audio_layer=config.encoder_layers,
        n_vocab=config.vocab_size,
        n_text_ctx=config.max_target_positions,
        n_text_state=config.d_model,
        n_text_head=config.decoder_attention_heads,
        n_text_layer=config.decoder_layers,
    )
    model = Whisper(dims)
    names = [name for name in model.state_dict() if name != "alignment_heads"]
    model.load_state_dict({name: weights[to_hf(name)].float() for name in names}, strict=False)
    return model.eval()


def save_hf(model: Whisper, folder: Path) -> None:
    """Write the folder that ``from_pretrained`` and the speech recognition pipeline load.

    The weights are float32: ``from_pretrained`` computes in what is stored, and features come in float32.
    """
    transformers = import_transformers()
    converted: Any = build_hf(model)
    with quiet():
        converted.save_pretrained(folder)
    save_tokenizer(model, folder)
    transformers.WhisperFeatureExtractor(feature_size=model.dims.n_mels).save_pretrained(folder)


def save_tokenizer(model: Whisper, folder: Path) -> None:
    """Write ``tokenizer.json`` and transformers' ``tokenizer_config.json``."""
    transformers = import_transformers()
    tokenizer = make_tokenizer(model.dims.n_vocab)
    special = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    wrapped = transformers.WhisperTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", **special
    )
    wrapped.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def suppressed_tokens(tokenizer: Tokenizer) -> list[int]:
    """What openai-whisper never samples by default (``suppress_tokens="-1"``)."""
    special = (tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm)
    return sorted({*tokenizer.non_speech_tokens, *special, tokenizer.no_speech})


def _tokenizer(model: Whisper) -> Tokenizer:
    languages = number_of_languages(model.dims.n_vocab)
    return get_tokenizer(model.is_multilingual, num_languages=languages)


def _generation_config(model: Whisper, tokenizer: Tokenizer) -> Any:
    transformers = import_transformers()
    multilingual: dict[str, Any] = {}
    if model.is_multilingual:
        multilingual = {
            "lang_to_id": language_tokens(model.dims.n_vocab),
            "task_to_id": {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate},
        }
    return transformers.GenerationConfig(
        is_multilingual=model.is_multilingual,
        decoder_start_token_id=tokenizer.sot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        pad_token_id=tokenizer.eot,
        no_timestamps_token_id=tokenizer.no_timestamps,
        prev_sot_token_id=tokenizer.sot_prev,
        suppress_tokens=suppressed_tokens(tokenizer),
        begin_suppress_tokens=[*tokenizer.encode(" "), tokenizer.eot],
        alignment_heads=[list(pair) for pair in alignment_heads(model)],
        max_initial_timestamp_index=50,
        max_length=model.dims.n_text_ctx,
        **multilingual,
    )
