"""Whisper's tokenizer as ``tokenizer.json``, which faster-whisper and transformers read, made from openai-whisper's.

openai-whisper keeps byte-pair ranks (tiktoken); ``tokenizers`` wants the merges. The merge that made a token is what
byte-pair encoding leaves of it when only tokens of lower rank may be used.
"""

from __future__ import annotations

from functools import lru_cache

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from whisper.tokenizer import LANGUAGES, get_encoding

ENGLISH_VOCABULARY = 51864


def is_multilingual(n_vocab: int) -> bool:
    return n_vocab > ENGLISH_VOCABULARY


def number_of_languages(n_vocab: int) -> int:
    """99, or 100 from large-v3 on: as openai-whisper counts them."""
    return n_vocab - 51765 - int(is_multilingual(n_vocab))


def first_timestamp_of(n_vocab: int) -> int:
    """The token of 0.00 s: 1501 timestamps, 0.00 to 30.00 s, close every vocabulary."""
    return n_vocab - 1501


@lru_cache
def make_tokenizer(n_vocab: int) -> Tokenizer:
    """The tokenizer of checkpoints with ``n_vocab`` tokens: 51864 (English), 51865 or 51866 (multilingual)."""
    name = "multilingual" if is_multilingual(n_vocab) else "gpt2"
    encoding = get_encoding(name, number_of_languages(n_vocab))
    ranks: dict[bytes, int] = encoding._mergeable_ranks
    letters = _byte_letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [_last_merge(token, ranks) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={written(token): rank for token, rank in ranks.items()},
            merges=[(written(left), written(right)) for left, right in merges],
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = sorted(encoding._special_tokens, key=encoding._special_tokens.__getitem__)
    timestamps = special.index("<|notimestamps|>") + 1
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in special[:timestamps]]
    )
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in special[timestamps:]])
    return tokenizer


def language_tokens(n_vocab: int) -> dict[str, int]:
    """``<|en|>`` and so on, with their ids; empty for English-only checkpoints."""
    if not is_multilingual(n_vocab):
        return {}
    count = number_of_languages(n_vocab)
    encoding = get_encoding("multilingual", count)
    return {f"<|{code}|>": encoding._special_tokens[f"<|{code}|>"] for code in list(LANGUAGES)[:count]}


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(ranks)))
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]


def _byte_letters() -> dict[int, str]:
    """The printable letter that stands for each byte in a byte-level vocabulary, as GPT-2 defined it."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    letters = {byte: chr(byte) for byte in printable}
    rest = [byte for byte in range(256) if byte not in letters]
    return letters | {byte: chr(256 + i) for i, byte in enumerate(rest)}
