"""If these fail, a user's recording is refused, misread, shifted in pitch, or takes the program down."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from faster_whisper import decode_audio

from whisper_steer.audio.load import LOUDEST, as_samples, load_audio
from whisper_steer.audio.spectrogram import log_mel_spectrogram
from whisper_steer.errors import AudioError, AudioWarning


def peak_hz(samples: np.ndarray, rate: int = 16000) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def chirp(rate: int, seconds: float = 2.0) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * (300 + 200 * t) * t)).astype(np.float32)


def write_av(path: Path, codec: str | None, rate: int = 48000, video: bool = False) -> None:
    """Two channels of a chirp through an FFmpeg encoder, with a small picture track or alone."""
    with av.open(path, "w") as container:
        picture = container.add_stream("mpeg4", rate=10) if video else None
        sound = container.add_stream(codec, rate=rate, layout="stereo") if codec else None
        if picture is not None:
            picture.width = picture.height = 32
            for index in range(5):
                image = av.VideoFrame(32, 32, "yuv420p")
                image.pts = index
                container.mux(picture.encode(image))
            container.mux(picture.encode())
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(np.stack([chirp(rate)] * 2), format="fltp", layout="stereo")
            frame.sample_rate = rate
            size = sound.codec_context.frame_size or 1024
            resampler = av.AudioResampler(sound.format, "stereo", rate, frame_size=size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux(sound.encode())


def test_16_khz_mono_comes_back_to_the_bit(wav_files: dict[str, Path]) -> None:
    expected, rate = soundfile.read(wav_files["chirp"], dtype="float32")
    assert rate == 16000
    np.testing.assert_array_equal(load_audio(wav_files["chirp"]), expected)
    np.testing.assert_array_equal(load_audio(wav_files["chirp"].read_bytes()), expected)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 192000])
def test_resampling_keeps_pitch_level_and_length(tmp_path: Path, rate: int) -> None:
    t = np.arange(2 * rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * t), rate, subtype="FLOAT")
    samples = load_audio(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    assert len(samples) == 32000
    assert peak_hz(samples) == pytest.approx(440, abs=0.6)
    middle = samples[4000:-4000]
    np.testing.assert_allclose(
        middle, 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000, 28000) / 16000), atol=1e-3
    )


def test_frequencies_above_8_khz_do_not_fold_back(tmp_path: Path) -> None:
    t = np.arange(96000) / 48000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 12000 * t), 48000)
    assert np.abs(load_audio(tmp_path / "a.wav")[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize("name", ["no suffix", "wrong.mp3", "a.raw", "ü.WAV"])
def test_content_counts_and_not_the_name(tmp_path: Path, wav_files: dict[str, Path], name: str) -> None:
    (tmp_path / name).write_bytes(wav_files["tone"].read_bytes())
    np.testing.assert_allclose(load_audio(tmp_path / name), load_audio(wav_files["tone"]), atol=1e-6)


def test_a_rate_of_ones_own(wav_files: dict[str, Path]) -> None:
    assert len(load_audio(wav_files["tone"], sr=8000)) == 16000


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (16000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), samples.mean(axis=1), atol=1e-6)


def test_eight_channels_at_192_khz(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.tile(chirp(192000)[:, None], 8), 192000)
    np.testing.assert_allclose(
        load_audio(tmp_path / "a.wav")[1000:-1000], chirp(16000)[1000:-1000], atol=1e-3
    )


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("a.mp3", "libmp3lame", False),
        ("a.m4a", "aac", False),
        ("a.webm", "libopus", False),
        ("a.mp4", "aac", True),
    ],
)
def test_lossy_containers_and_videos_agree_with_faster_whisper(
    tmp_path: Path, name: str, codec: str, video: bool
) -> None:
    write_av(tmp_path / name, codec, video=video)
    ours, theirs = load_audio(tmp_path / name), decode_audio(str(tmp_path / name))
    assert len(ours) == len(theirs)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert np.abs(ours - theirs)[500:-500].max() < 0.02


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.aiff", "a.wav"])
def test_containers_of_libsndfile_agree_with_faster_whisper(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, np.stack([chirp(44100)] * 2, axis=1), 44100)
    ours, theirs = load_audio(tmp_path / name), decode_audio(str(tmp_path / name))
    assert len(ours) == len(theirs)
    assert np.abs(ours - theirs)[500:-500].max() < 0.005


def test_stdin(monkeypatch: pytest.MonkeyPatch, wav_files: dict[str, Path]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(wav_files["tone"].read_bytes())))
    np.testing.assert_array_equal(load_audio("-"), load_audio(wav_files["tone"]))


def test_a_named_pipe_which_cannot_seek(tmp_path: Path, wav_files: dict[str, Path]) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[wav_files["tone"].read_bytes()])
    writer.start()
    np.testing.assert_array_equal(load_audio(tmp_path / "pipe"), load_audio(wav_files["tone"]))
    writer.join()


def test_arrays() -> None:
    samples = np.linspace(-1, 1, 100)
    np.testing.assert_array_equal(load_audio(samples), samples.astype(np.float32))
    pcm = np.array([-32768, 0, 16384], dtype=np.int16)
    np.testing.assert_array_equal(load_audio(pcm), np.array([-1, 0, 0.5], dtype=np.float32))
    np.testing.assert_allclose(load_audio(np.stack([samples, -samples], axis=1)), np.zeros(100), atol=1e-7)
    for bad in (np.zeros((2, 100)), np.zeros((1, 2, 3)), np.array(["a"]), np.zeros(5, np.complex64)):
        with pytest.raises(AudioError, match="expected"):
            load_audio(bad)


def test_a_hundredth_of_a_second_is_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(160, 0.1), 16000)
    assert load_audio(tmp_path / "a.wav").shape == (160,)


def test_a_recording_cut_short_gives_what_is_there(tmp_path: Path, wav_files: dict[str, Path]) -> None:
    whole = wav_files["chirp"].read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(AudioWarning, match="states 3.0 s, it ends at 1.5 s"):
        short = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(short, load_audio(wav_files["chirp"])[: len(short)])
    assert len(short) > 23000


@pytest.mark.parametrize(
    "case", ["missing", "folder", "empty", "text", "noise", "header", "silent video", "long name"]
)
def test_what_is_no_recording_is_refused_in_one_line(
    tmp_path: Path, wav_files: dict[str, Path], case: str
) -> None:
    path, says = tmp_path / "a.wav", ""
    match case:
        case "missing":
            says = "does not exist"
        case "folder":
            path.mkdir()
            says = "is a folder"
        case "empty":
            path.touch()
            says = "empty"
        case "text":
            path.write_text("hello world\n" * 100)
            says = "not a recording"
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(50000))
            says = "not a recording"
        case "header":
            path.write_bytes(wav_files["tone"].read_bytes()[:44])
            says = "no samples"
        case "silent video":
            path = tmp_path / "a.mp4"
            write_av(path, None, video=True)
            says = "no audio stream"
        case "long name":
            path = tmp_path / ("a" * 300)
            says = "cannot be opened"
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, value: float, rate: int) -> None:
    samples = np.zeros(rate, np.float32)
    samples[rate // 2] = value
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [3e38, -3e38, 1e6, 32767.0, 101.0])
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_were_never_scaled_are_refused(
    tmp_path: Path, value: float, rate: int, channels: int
) -> None:
    """They would come out as silence: the largest overflow in the spectrogram, the others mislead the gate."""
    samples = np.zeros((rate, channels), np.float32)
    samples[rate // 2 : rate // 2 + 100] = value
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
    for source in (tmp_path / "a.wav", samples, samples.astype(np.float64) * 1e30):
        with pytest.raises(AudioError, match=r"divide them by their full scale|NaN or infinite") as caught:
            load_audio(source)
        assert "\n" not in str(caught.value)


def test_a_recording_far_over_full_scale_is_kept(tmp_path: Path) -> None:
    samples = (LOUDEST * np.sin(np.arange(16000))).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.wav"), samples)
    assert torch.isfinite(log_mel_spectrogram(samples)).all()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint16, np.uint32, np.bool_])
def test_integers_whose_full_scale_is_not_known_are_refused(dtype: type) -> None:
    """PCM of 16 bit in an int64 array, divided by 2**63, is silence."""
    samples = np.arange(1000).astype(dtype)
    for source in (samples, torch.from_numpy(samples)):
        with pytest.raises(AudioError, match="divide by the full scale") as caught:
            as_samples(source)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16, torch.int32]
)
def test_tensors_are_read_like_arrays(dtype: torch.dtype) -> None:
    values = np.sin(np.arange(4000)).astype(np.float32)
    if dtype.is_floating_point:
        tensor = torch.from_numpy(values).to(dtype)
        expected = tensor.float().numpy()
    else:
        pcm = (values * torch.iinfo(dtype).max * 0.9).astype(np.int64)
        tensor, expected = torch.from_numpy(pcm).to(dtype), pcm / (torch.iinfo(dtype).max + 1)
    found = as_samples(tensor)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)
    stereo = torch.stack([tensor, tensor], dim=1)
    np.testing.assert_allclose(as_samples(stereo), expected, atol=1e-7)
    np.testing.assert_array_equal(as_samples(stereo[:, 0]), found)


def test_tensors_that_are_trained_and_those_that_are_no_recording() -> None:
    samples = torch.sin(torch.arange(1000.0)).requires_grad_()
    np.testing.assert_array_equal(as_samples(samples), samples.detach().numpy())
    for bad in (samples * torch.nan, samples * 1e38, samples[None], samples.to(torch.complex64)):
        with pytest.raises(AudioError, match="the tensor"):
            as_samples(bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_tensor_stays_on_its_gpu() -> None:
    samples = torch.sin(torch.arange(1000.0))
    assert as_samples(samples.cuda()).device.type == "cuda"
    np.testing.assert_array_equal(as_samples(samples.double().cuda()), samples.numpy())
    with pytest.raises(AudioError, match="NaN"):
        as_samples((samples * torch.nan).cuda())


def test_no_bytes_are_refused_and_no_samples_are_none() -> None:
    with pytest.raises(AudioError, match="empty"):
        load_audio(b"")
    assert load_audio(np.empty(0, np.int16)).shape == as_samples(torch.empty(0, 2)).shape == (0,)
