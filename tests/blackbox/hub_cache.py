"""A hub cache that holds the gpt2 tokenizer, made from the vocabulary in text/, so that AIPerf
finds `--tokenizer gpt2` without a network."""

import json
import re
from pathlib import Path

REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
SOURCE = Path(__file__).parents[2] / "text" / "gpt2_merges.c"


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes, in the order of their token ids."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def make_hub_cache(folder):
    """Write the cache below folder and return the environment that points there."""
    tokens = byte_alphabet()
    text = SOURCE.read_text().split("GPT2_MERGES[][2] = {")[1]
    merges = []
    for left, right in re.findall(r"\{\s*(\d+)\s*,\s*(\d+)\s*\}", text):
        merges.append(f"{tokens[int(left)]} {tokens[int(right)]}")
        tokens.append(tokens[int(left)] + tokens[int(right)])
    tokens.append("<|endoftext|>")
    assert len(tokens) == 50257

    model = Path(folder) / "hub" / "models--gpt2"
    snapshot = model / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (snapshot / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (snapshot / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (snapshot / "config.json").write_text('{"model_type": "gpt2"}')
    (snapshot / "tokenizer_config.json").write_text(
        '{"model_max_length": 1024, "tokenizer_class": "GPT2Tokenizer"}'
    )
    return {"HF_HOME": str(folder), "HF_HUB_CACHE": str(Path(folder) / "hub"),
            "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
