"""A model of openai-whisper as a folder of CTranslate2, by CTranslate2's own converter."""

from __future__ import annotations

from pathlib import Path

from whisper.model import Whisper

from whisper_steer.files.scratch import scratch_folder
from whisper_steer.formats.hf import import_transformers, quiet, save_hf


def save_ct2(model: Whisper, folder: Path, quantization: str | None = "float16") -> None:
    """Write the folder that faster-whisper loads. ``quantization``: as CTranslate2's converter names them.

    Raises `MissingPackageError` without transformers, through which CTranslate2 converts.
    """
    import_transformers()
    from ctranslate2.converters import TransformersConverter

    with scratch_folder(f".{folder.name}-", folder.parent) as scratch:
        save_hf(model, scratch)
        converter = TransformersConverter(
            str(scratch), copy_files=["tokenizer.json", "preprocessor_config.json"], load_as_float16=True
        )
        with quiet():
            converter.convert(str(folder), quantization=quantization, force=True)
