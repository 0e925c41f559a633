#!/usr/bin/env python3
"""Write text/gpt2_merges.c from GPT-2's vocab.json and merges.txt.

    python3 tools/make_gpt2_merges.py FOLDER > text/gpt2_merges.c

The vocabulary is fully determined by the merge rules: 256 bytes in the order of the byte
alphabet, then one token per rule, then <|endoftext|>. The script checks that, so that only pairs
of ids need to be stored.
"""

import json
import pathlib
import sys

PER_LINE = 8


def main():
    folder = pathlib.Path(sys.argv[1])
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    rules = [tuple(line.split(" ")) for line in lines if not line.startswith("#version")]

    own = [b for b in range(256) if 0x21 <= b <= 0x7E or (b >= 0xA1 and b != 0xAD)]
    alphabet = [chr(b) for b in own] + [chr(256 + i) for i in range(256 - len(own))]
    assert [ids[c] for c in alphabet] == list(range(256))
    assert [ids[a + b] for a, b in rules] == list(range(256, 256 + len(rules)))
    assert ids["<|endoftext|>"] == 256 + len(rules) == len(ids) - 1
    assert all(ids[a] < 256 + i and ids[b] < 256 + i for i, (a, b) in enumerate(rules))

    print("/* Made by tools/make_gpt2_merges.py; do not edit. Data: GPT-2, OpenAI, modified MIT")
    print(" * licence, see text/data/README.md. */")
    print('#include "text/gpt2_merges.h"\n\n/* clang-format off */')
    print("const uint16_t GPT2_MERGES[][2] = {")
    pairs = ["{%d,%d}" % (ids[a], ids[b]) for a, b in rules]
    for i in range(0, len(pairs), PER_LINE):
        print("    " + ",".join(pairs[i:i + PER_LINE]) + ",")
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
