"""``faster_whisper.utils`` under this package's name: models and small helpers."""

from faster_whisper.utils import (
    available_models,
    disabled_tqdm,
    download_model,
    format_timestamp,
    get_assets_path,
    get_end,
    get_logger,
)

__all__ = [
    "available_models",
    "disabled_tqdm",
    "download_model",
    "format_timestamp",
    "get_assets_path",
    "get_end",
    "get_logger",
]
