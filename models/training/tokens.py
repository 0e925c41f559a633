"""Trains both tokenizers: byte-pair encoding in CLIP's file format, unigram pieces in T5's.

Both learn from captions of our scenes and from the documentation of Python's standard library,
which every Python has at hand, so that everyday English splits into more than letters. CLIP's
falls back to bytes and takes any text; T5's maps characters it has no piece for to <unk>.
"""

import base64
import collections
import json
import os
import pydoc_data.topics
import random
import re

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from transformers import CLIPTokenizer, T5TokenizerFast

import captions as grammar
import scenes
from common import CLIP_LENGTH, T5_LENGTH

N_CLIP_MERGES = 1500
N_T5_PIECES = 1500
N_EXTRA_IDS = 100


def byte_alphabet():
    """The printable stand-ins of the 256 bytes in GPT-2's order, which CLIP took over."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def english_lines():
    lines = []
    for text in pydoc_data.topics.topics.values():
        for paragraph in text.split("\n\n"):
            line = " ".join(paragraph.split())
            if len(line) > 40 and re.fullmatch(r"[\x20-\x7e]+", line):
                lines.append(line)
    return lines


def train_merges(words, n_merges):
    """Byte-pair encoding over {word: count}: the merges, most frequent pair first."""
    split = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    where = collections.defaultdict(set)
    counts = collections.Counter()

    def add(word, sign):
        for pair in zip(split[word], split[word][1:]):
            counts[pair] += sign * words[word]
            if sign > 0:
                where[pair].add(word)

    for word in words:
        add(word, 1)
    merges = []
    while len(merges) < n_merges:
        pair = max(counts, key=lambda p: (counts[p], p))
        if counts[pair] < 2:
            break
        merges.append(pair)
        for word in where.pop(pair):
            add(word, -1)
            old, new, i = split[word], [], 0
            while i < len(old):
                if old[i:i + 2] == pair:
                    new.append(old[i] + old[i + 1])
                    i += 2
                else:
                    new.append(old[i])
                    i += 1
            split[word] = tuple(new)
            add(word, 1)
        del counts[pair]
    return merges


def write_json(content, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as f:
        json.dump(content, f, ensure_ascii=False, indent=1)


def make_clip(captions, english, folder):
    os.makedirs(folder, exist_ok=True)
    # English weighs little: the words of the captions must become single tokens.
    words = collections.Counter()
    for text, weight in ((captions, 8), (english, 1)):
        for line in text:
            for word in re.findall(r"[a-z]+", line.lower()):
                words[word] += weight
    merges = train_merges(words, N_CLIP_MERGES)
    letters = byte_alphabet()
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = letters + [c + "</w>" for c in letters] + [a + b for a, b in merges]
    vocabulary += [start, end]
    write_json({t: i for i, t in enumerate(vocabulary)}, folder, "vocab.json")
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    token = dict(lstrip=False, rstrip=False, single_word=False)
    starts = dict(token, content=start, normalized=True)
    ends = dict(token, content=end, normalized=False)
    write_json(dict(bos_token=starts, eos_token=ends, pad_token=ends, unk_token=ends),
               folder, "special_tokens_map.json")
    n = len(vocabulary)
    write_json(dict(
        add_prefix_space=False, bos_token=start, eos_token=end, pad_token=end, unk_token=end,
        added_tokens_decoder={str(n - 2): dict(starts, special=True),
                              str(n - 1): dict(ends, special=True)},
        clean_up_tokenization_spaces=True, do_lower_case=True, errors="replace",
        model_max_length=CLIP_LENGTH, tokenizer_class="CLIPTokenizer"),
        folder, "tokenizer_config.json")


def make_t5(captions, english, folder):
    os.makedirs(folder, exist_ok=True)
    lines = captions + english
    random.Random(3).shuffle(lines)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=os.path.join(folder, "spiece"),
        model_type="unigram", vocab_size=N_T5_PIECES, normalization_rule_name="nmt_nfkc",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=0.9995, num_threads=1,
        seed_sentencepiece_size=60000, hard_vocab_limit=True, minloglevel=2)
    os.remove(os.path.join(folder, "spiece.vocab"))
    write_t5_json(folder)


def write_t5_json(folder):
    """The same model once more in the format of the `tokenizers` library."""
    model = sentencepiece_model_pb2.ModelProto()
    with open(os.path.join(folder, "spiece.model"), "rb") as f:
        model.ParseFromString(f.read())
    n = len(model.pieces)
    extras = [f"<extra_id_{i}>" for i in range(N_EXTRA_IDS)]
    vocabulary = [[p.piece, p.score] for p in model.pieces]
    vocabulary += [[extra, 0.0] for extra in reversed(extras)]
    special = [(0, "<pad>"), (1, "</s>"), (2, "<unk>")]
    special += [(n + i, extra) for i, extra in enumerate(reversed(extras))]
    token = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    charsmap = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    spaces = dict(type="Metaspace", replacement="\u2581", prepend_scheme="always", split=True)
    end = dict(id="</s>", ids=[1], tokens=["</s>"])
    write_json(dict(
        version="1.0", truncation=None, padding=None,
        added_tokens=[dict(token, id=i, content=c) for i, c in special],
        normalizer=dict(type="Sequence", normalizers=[
            dict(type="Precompiled", precompiled_charsmap=charsmap),
            dict(type="Replace", pattern=dict(Regex=" {2,}"), content=" ")]),
        pre_tokenizer=spaces, decoder=spaces,
        post_processor=dict(
            type="TemplateProcessing",
            single=[dict(Sequence=dict(id="A", type_id=0)), dict(SpecialToken=dict(
                id="</s>", type_id=0))],
            pair=[dict(Sequence=dict(id="A", type_id=0)), dict(SpecialToken=dict(
                id="</s>", type_id=0)), dict(Sequence=dict(id="B", type_id=0)),
                dict(SpecialToken=dict(id="</s>", type_id=0))],
            special_tokens={"</s>": end}),
        model=dict(type="Unigram", unk_id=2, vocab=vocabulary, byte_fallback=False)),
        folder, "tokenizer.json")
    write_json(dict(additional_special_tokens=extras, eos_token="</s>", pad_token="<pad>",
                    unk_token="<unk>"), folder, "special_tokens_map.json")
    write_json(dict(
        added_tokens_decoder={str(i): dict(token, content=c) for i, c in special},
        additional_special_tokens=extras, clean_up_tokenization_spaces=True, eos_token="</s>",
        extra_ids=N_EXTRA_IDS, legacy=False, model_max_length=T5_LENGTH, pad_token="<pad>",
        sp_model_kwargs={}, tokenizer_class="T5Tokenizer", unk_token="<unk>"),
        folder, "tokenizer_config.json")


def make(folder, n_captions=40000):
    r = random.Random(1)
    captions = [grammar.caption(scenes.sample(r), r) for _ in range(n_captions)]
    english = english_lines()
    make_clip(captions, english, os.path.join(folder, "tokenizer"))
    make_t5(captions, english, os.path.join(folder, "tokenizer_2"))


def load(folder):
    return (CLIPTokenizer.from_pretrained(os.path.join(folder, "tokenizer")),
            T5TokenizerFast.from_pretrained(os.path.join(folder, "tokenizer_2")))
