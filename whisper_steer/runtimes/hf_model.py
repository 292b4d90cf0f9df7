"""A `WhisperForConditionalGeneration` whose `generate` listens to the features first and decodes only the speech."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import UsageError
from whisper_steer.gate.hearing import Hearing
from whisper_steer.guard.hf import with_guard
from whisper_steer.runtimes import results
from whisper_steer.runtimes.hf_decode import Segments, decode, decoding, detected_language, must_detect
from whisper_steer.steer.steering import Steering

REFUSED = ("encoder_outputs", "decoder_input_ids", "force_unique_generate_call", "assistant_model")


class SteeredModel:
    """A model of transformers and steering; everything but `generate` is the model's own.

    The model is not changed. Calls from several threads take turns. guard: loops are
    ended, see `whisper_steer.guard.hf`.
    """

    def __init__(self, model: Any, steering: Steering, prefix: Prefix, guard: bool = True) -> None:
        self.model = model
        self.guard = guard
        self.steering = steering
        self.prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "model" not in vars(self):
            raise AttributeError(name)
        return getattr(self.model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def listen(self, input_features: Tensor, attention_mask: Tensor | None = None) -> list[Hearing]:
        """Where somebody speaks in each row of log-mel features (batch, mels, frames)."""
        return [
            self.steering.listen_to_mel(self.prefix, row) for row in _rows(input_features, attention_mask)
        ]

    def generate(
        self,
        input_features: Tensor,
        generation_config: Any = None,
        *,
        attention_mask: Tensor | None = None,
        return_timestamps: bool | None = None,
        return_token_timestamps: bool | None = None,
        return_segments: bool = False,
        return_dict_in_generate: bool | None = None,
        language: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        """Stock's `generate` that writes nothing where nobody speaks.

        ``input_features``: (batch, mels, frames) of log-mel, 3000 frames or, for more than 30 s, more. Options and
        result are stock's; where all rows are speech throughout, the result is stock's own. A row without speech comes
        out empty. Of the others the spans of speech are decoded one by one; token timestamps count from the start of
        the recording there. Raises `UsageError` for options whose results cannot be put together from spans.
        """
        options |= {
            "generation_config": generation_config,
            "return_dict_in_generate": return_dict_in_generate,
        }
        options["return_token_timestamps"] = return_token_timestamps
        if self.guard:
            options = with_guard(options, self.model)
        asked: dict[str, Any] = {"return_timestamps": return_timestamps, "language": language}
        asked |= {"attention_mask": attention_mask, "return_segments": return_segments}
        config = generation_config or self.model.generation_config
        timed = return_timestamps
        if timed is None:
            timed = bool(getattr(config, "return_timestamps", False)) or input_features.shape[-1] > N_FRAMES
        elif not timed and input_features.shape[-1] > N_FRAMES:
            return self.model.generate(input_features, **asked, **options)  # raises
        heard = self.listen(input_features, attention_mask)
        whole = [i for i, hearing in enumerate(heard) if hearing.whole]
        with decoding(self.model, self.steering), torch.no_grad():
            if len(whole) == len(heard):
                return self.model.generate(input_features, **asked, **options)
            as_dict = _refuse(config, options, bool(timed))
            languages = _by_row(language, len(heard))
            found = self._spans(
                input_features, attention_mask, heard, languages, config, timed=bool(timed), **options
            )
            if whole:
                rows = torch.tensor(whole, device=input_features.device)
                asked["attention_mask"] = None if attention_mask is None else attention_mask[rows]
                asked["language"] = [languages[i] for i in whole] if any(languages) else None
                asked["return_segments"] = True
                made = self.model.generate(input_features[rows], **asked, **options)
                for i, segments in zip(whole, made["segments"], strict=True):
                    found[i] = segments
        pad = self.model.generation_config.pad_token_id
        output = _assembled(found, int(pad), input_features.device, bool(return_token_timestamps))
        if return_segments or as_dict:
            output["segments"] = found
        return output if len(output) > 1 else output["sequences"]

    def _spans(
        self,
        features: Tensor,
        mask: Tensor | None,
        heard: list[Hearing],
        languages: list[str | None],
        config: Any,
        **options: Any,
    ) -> list[Segments]:
        """The segments of the rows that are not speech throughout."""
        rows = _rows(features, mask)
        clips = [[] if h.whole else results.to_decode(self.steering, h, [(0.0, h.seconds)]) for h in heard]
        places = [
            (i, round(start * FRAMES_PER_SECOND), round(end * FRAMES_PER_SECOND))
            for i, parts in enumerate(clips)
            for start, end in parts
        ]
        if not any(languages) and must_detect(self.model, config):
            languages = [
                detected_language(self.model, _speech(row, h)) if parts and h.spans else "<|en|>"
                for row, h, parts in zip(rows, heard, clips, strict=True)
            ]
        return decode(self.model, rows, places, len(features), language=languages, **options)


def _rows(features: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Rows of features without what the mask leaves out."""
    if mask is None:
        return list(features)
    return [row[:, : int(keep.sum())] for row, keep in zip(features, mask, strict=True)]


def _by_row(language: str | Sequence[str] | None, n: int) -> list[str | None]:
    return [language] * n if language is None or isinstance(language, str) else list(language)


def _speech(mel: Tensor, hearing: Hearing) -> Tensor:
    """The first 30 s of speech in a log-mel (mels, frames), without the pauses, as a window."""
    places = [(round(s.start * FRAMES_PER_SECOND), round(s.end * FRAMES_PER_SECOND)) for s in hearing.spans]
    speech = torch.cat([mel[:, start:end] for start, end in places], dim=1)[:, :N_FRAMES]
    return F.pad(speech, (0, N_FRAMES - speech.shape[1]))


def _refuse(config: Any, options: dict[str, Any], timed: bool) -> bool:
    """Whether stock's result would be a dict for ``return_dict_in_generate``. Raises `UsageError`."""
    for name in REFUSED:
        if options.get(name) is not None:
            raise UsageError(f"{name} cannot be used where only parts of the audio are decoded: leave it out")
    if (options.get("num_return_sequences") or getattr(config, "num_return_sequences", None) or 1) > 1:
        raise UsageError(
            "num_return_sequences cannot be used where only parts of the audio are decoded: take 1"
        )
    as_dict = options.get("return_dict_in_generate")
    as_dict = getattr(config, "return_dict_in_generate", False) if as_dict is None else as_dict
    if as_dict and not timed:
        raise UsageError(
            "return_dict_in_generate needs return_timestamps=True where only parts of the audio are decoded"
        )
    return bool(as_dict)


def _assembled(found: list[Segments], pad: int, device: torch.device, with_times: bool) -> dict[str, Any]:
    """Stock's ``sequences`` and ``token_timestamps`` of all rows."""

    def padded(name: str, dtype: torch.dtype, value: float | None) -> Tensor:
        rows = [
            torch.cat([torch.zeros(0, dtype=dtype), *(s[name].to("cpu", dtype) for s in segments)])
            for segments in found
        ]
        longest = max(1, *(len(row) for row in rows))
        last = [float(row[-1]) if len(row) else 0.0 for row in rows] if value is None else [value] * len(rows)
        filled = [F.pad(r, (0, longest - len(r)), value=v) for r, v in zip(rows, last, strict=True)]
        return torch.stack(filled).to(device)

    output: dict[str, Any] = {"sequences": padded("tokens", torch.long, pad)}
    if with_times:
        output["token_timestamps"] = padded("token_timestamps", torch.float32, None)
    return output
