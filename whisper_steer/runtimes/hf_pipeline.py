"""A speech recognition pipeline of transformers that listens to the recording first and is given only the speech.

The pipeline's own code does all the rest, on pieces of at most 30 s: features, batches, generation, text and words.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from torch import Tensor
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.errors import UsageError
from whisper_steer.gate.hearing import Hearing
from whisper_steer.runtimes import results
from whisper_steer.runtimes.hf_decode import bounded, decoding, detected_language, must_detect
from whisper_steer.runtimes.hf_model import SteeredModel

CHUNKING = ("chunk_length_s", "stride_length_s", "ignore_warning")
"""options that pieces of at most 30 s do not need"""


class SteeredPipeline:
    """A pipeline of transformers and steering; everything but a call is the pipeline's own.

    The pipeline is not changed. Calls from several threads take turns.
    """

    def __init__(self, pipeline: Any, steered: SteeredModel) -> None:
        self.pipeline = pipeline
        self.steered = steered

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "pipeline" not in vars(self):
            raise AttributeError(name)
        return getattr(self.pipeline, name)

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """The pipeline's result for its own arguments, without what nobody said.

        ``inputs``: a path, an address, bytes, samples at 16 kHz (n,), a dict of ``raw`` or ``array`` and
        ``sampling_rate``, or a list, a data set or a generator of those (for the last two the results come one by one,
        ``batch_size`` inputs read ahead). A recording in which somebody speaks throughout goes through the pipeline as
        it is. Results have ``"steering"``, as `whisper_steer.transcribe` gives it, and so have ``"chunks"`` with
        timestamps. Raises `AudioError`, `UsageError`.
        """
        if isinstance(inputs, (str, Path, bytes, dict, np.ndarray, Tensor)):
            return self._several([inputs], kwargs)[0]
        found = self._lazily(inputs, kwargs)
        return list(found) if isinstance(inputs, (list, tuple)) else found

    def _lazily(self, inputs: Iterable[Any], kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        size = kwargs.get("batch_size") or getattr(self.pipeline, "_batch_size", None) or 1
        rest = iter(inputs)
        while group := list(islice(rest, size)):
            yield from self._several(group, kwargs)

    def _several(self, inputs: list[Any], kwargs: dict[str, Any]) -> list[dict[str, Any]]:
        """Results of a few inputs, which share batches."""
        steering = self.steered.steering
        recordings = [samples_of(each) for each in inputs]
        heard = [steering.listen(self.steered.prefix, samples) for samples in recordings]
        with decoding(self.steered.model, steering):
            return self._decoded(recordings, heard, kwargs)

    def _decoded(
        self, recordings: list[Any], heard: list[Hearing], kwargs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        whole = [i for i, hearing in enumerate(heard) if hearing.whole]
        untouched = iter(self.pipeline([recordings[i] for i in whole], **kwargs) if whole else [])
        found: list[dict[str, Any]] = []
        pieces = self._pieces(recordings, heard, kwargs)
        risk = self.steered.steering.risk
        of_words = {**self.pipeline._postprocess_params, **kwargs}.get("return_timestamps") == "word"
        for i, hearing in enumerate(heard):
            result = next(untouched) if i in whole else self._joined(pieces[i], kwargs)
            for chunk in result.get("chunks", []):
                if "timestamp" in chunk:
                    start, end = chunk["timestamp"]
                    times = start or 0.0, hearing.seconds if end is None else end
                    chunk["steering"] = results.evidence_of(hearing, *times)
                    if risk is not None and not of_words:
                        timed = {"text": chunk["text"], "start": times[0], "end": times[1]}
                        chunk["risk"] = risk.of(timed, hearing)
            found.append({**result, "steering": results.about(self.steered.steering, hearing)})
        return found

    def _pieces(
        self, recordings: list[Any], heard: list[Hearing], kwargs: dict[str, Any]
    ) -> dict[int, list[dict[str, Any]]]:
        """The pipeline's results for the pieces of each recording that is not speech throughout, with their times."""
        by_language: dict[str | None, list[tuple[int, float, float]]] = defaultdict(list)
        for i, (samples, hearing) in enumerate(zip(recordings, heard, strict=True)):
            clips = [] if hearing.whole else [(0.0, hearing.seconds)]
            cut = results.pieces(self.steered.steering, hearing, clips, float(CHUNK_LENGTH))
            language = self._language(samples, hearing, kwargs) if cut else None
            by_language[language] += [(i, start, end) for start, end in cut]
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        pipeline = copy.copy(self.pipeline)
        pipeline.model = _Bounded(self.steered.model)
        pipeline._preprocess_params = {
            k: v for k, v in pipeline._preprocess_params.items() if k not in CHUNKING
        }
        options = {k: v for k, v in kwargs.items() if k not in CHUNKING}
        for language, places in by_language.items():
            if language is not None:
                options["generate_kwargs"] = {**kwargs.get("generate_kwargs", {}), "language": language}
            parts = [
                np.asarray(recordings[i][round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)])
                for i, a, b in places
            ]
            made = pipeline(parts, **options) if parts else []
            for (i, start, end), result in zip(places, made, strict=True):
                found[i].append(_moved(result, start, end))
        return found

    def _language(self, samples: Any, hearing: Hearing, kwargs: dict[str, Any]) -> str | None:
        model, speech = self.steered.model, hearing.within([(0.0, hearing.seconds)])
        given = kwargs, kwargs.get("generate_kwargs"), self.pipeline._forward_params
        config = getattr(self.pipeline, "generation_config", None)
        if not speech or not must_detect(model, config, *given):
            return None
        return detected_language(
            model, window_mel(results.first_speech(samples, speech), model.config.num_mel_bins)
        )

    def _joined(self, pieces: list[dict[str, Any]], kwargs: dict[str, Any]) -> dict[str, Any]:
        """One result of those of the pieces."""
        given = {**self.pipeline._postprocess_params, **kwargs}
        config = self.steered.model.generation_config
        named = given.get("return_timestamps") or given.get("return_language")
        result: dict[str, Any] = {"text": "".join(piece["text"] for piece in pieces)}
        if named or getattr(config, "return_timestamps", False):
            result["chunks"] = [chunk for piece in pieces for chunk in piece["chunks"]]
        return result


class _Bounded:
    """A model whose `generate` ends with the audio, see `whisper_steer.runtimes.hf_decode`."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, input_features: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Any:
        if attention_mask is None or not options.get("return_timestamps"):
            return self._model.generate(input_features, attention_mask=attention_mask, **options)
        return bounded(self._model.generate, input_features, attention_mask, **options)


def samples_of(source: Any) -> Any:
    """What a pipeline takes -> samples (n,) float32 at 16 kHz. Raises `AudioError`, `UsageError`."""
    if not isinstance(source, dict):
        if not isinstance(source, (str, Path, bytes, np.ndarray, Tensor)):
            raise UsageError(
                f"{type(source).__name__} is no recording: give a path, bytes, samples or a dict of them"
            )
        if not isinstance(source, Tensor):
            return load_audio(source)
        found = as_samples(source)
        return found.cpu().numpy() if isinstance(found, Tensor) else found
    samples = source.get("raw", source.get("array"))
    if samples is None or "sampling_rate" not in source:
        raise UsageError(
            "a recording as a dict has 'raw' (or 'array'), the samples, and 'sampling_rate' in Hz"
        )
    read = samples_of(samples)
    return (
        read
        if source["sampling_rate"] == SAMPLE_RATE
        else soxr.resample(read, source["sampling_rate"], SAMPLE_RATE)
    )


def _moved(result: dict[str, Any], start: float, end: float) -> dict[str, Any]:
    """A piece's result with its times in the recording; a time that is missing is the piece's."""

    def placed(time: float | None, missing: float) -> float:
        return missing if time is None else round(min(start + time, end), 2)

    for chunk in result.get("chunks", []):
        if "timestamp" in chunk:
            first, last = chunk["timestamp"]
            chunk["timestamp"] = (placed(first, start), placed(last, end))
    return result


__all__ = ["SteeredPipeline", "samples_of"]
