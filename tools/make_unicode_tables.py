#!/usr/bin/env python3
"""Write text/unicode_tables.c: the character properties that the tokenizers need.

    pip install tokenizers==0.23.3 regex==2025.11.3
    python3 tools/make_unicode_tables.py > text/unicode_tables.c

Token ids have to equal those of the `tokenizers` library, whose parts follow three different
versions of Unicode. So the properties are asked from the library itself, code point by code
point: \\p{L}, \\p{N} and white space from its regular expressions, lower case, canonical
decomposition, combining classes and composition from its normalizers, \\w from its Whitespace
splitter. Only grapheme clusters can't be asked directly; their classes come from the `regex`
package and are checked against the library afterwards.
"""

import base64
import json
import struct
import sys

import regex
import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 128

LETTER, NUMBER, SPACE, WORD, PICTOGRAPH = 1, 2, 4, 8, 16
LINKER, JOINER, CONSONANT = 32, 64, 128
BREAKS = ["Other", "CR", "LF", "Control", "Extend", "ZWJ", "Regional_Indicator", "Prepend",
          "SpacingMark", "L", "V", "T", "LV", "LVT"]


def matching(pattern):
    """Code points that a one-character pattern of the library's regular expressions matches."""
    mark = "\x01"
    rule = normalizers.Replace(Regex(pattern), mark)
    found = {c for c in CODES if c != 1 and rule.normalize_str(chr(c)) == mark}
    return found


def word_characters():
    split = pre_tokenizers.Whitespace()
    return {c for c in CODES if len(split.pre_tokenize_str("a" + chr(c) + "a")) == 1}


def white_space():
    split = pre_tokenizers.WhitespaceSplit()
    return {c for c in CODES if len(split.pre_tokenize_str("a" + chr(c) + "a")) == 2}


def decompositions(nfd):
    full = {}
    for c in CODES:
        if 0xAC00 <= c < 0xAC00 + 11172:
            continue  # Hangul syllables are computed
        text = nfd.normalize_str(chr(c))
        if text != chr(c):
            full[c] = [ord(x) for x in text]
    return full


def combining_classes(nfd):
    """A mark moves in front of another exactly when its class is lower and not 0."""
    highest = "\u0345"  # class 240, the only one of it and the highest of all
    lowest = "\u0334"  # class 1
    marks = [c for c in CODES if nfd.normalize_str(highest + chr(c))[0] != highest
             and nfd.normalize_str(chr(c)) == chr(c)]
    moves = lambda first, second: nfd.normalize_str(chr(first) + chr(second)) == (
        chr(second) + chr(first))
    # Sort the marks into classes, then order the classes; the names of the classes (1 to 240)
    # do not matter for the algorithm, only their order does.
    groups = []
    for c in marks:
        for group in groups:
            if not moves(group[0], c) and not moves(c, group[0]):
                group.append(c)
                break
        else:
            groups.append([c])
    groups = sorted(groups, key=lambda g: sum(moves(g[0], h[0]) for h in groups if h is not g))
    assert ord(lowest) in groups[0]
    classes = {c: i + 1 for i, group in enumerate(groups) for c in group}
    classes[ord(highest)] = len(groups) + 1
    return classes


def compositions(nfc, full):
    pairs = {}
    for c, parts in full.items():
        if len(parts) < 2 or nfc.normalize_str(chr(c)) != chr(c):
            continue
        head = nfc.normalize_str("".join(map(chr, parts[:-1])))
        assert len(head) == 1 and nfc.normalize_str(head + chr(parts[-1])) == chr(c), hex(c)
        pairs[(ord(head), parts[-1])] = c
    return pairs


def grapheme_classes():
    kinds = {}
    for index, name in enumerate(BREAKS[1:], 1):
        rule = regex.compile(r"\p{GCB=%s}" % name)
        for c in CODES:
            if rule.match(chr(c)):
                kinds[c] = index
    flags = {}
    for name, bit in (("Extended_Pictographic", PICTOGRAPH), ("InCB=Linker", LINKER),
                      ("InCB=Extend", JOINER), ("InCB=Consonant", CONSONANT)):
        rule = regex.compile(r"\p{%s}" % name)
        for c in CODES:
            if rule.match(chr(c)):
                flags[c] = flags.get(c, 0) | bit
    return kinds, flags


def check_graphemes(kinds):
    """A charsmap that only knows a -> X replaces a whole cluster, which shows its extent."""
    unit_leaf = 1 << 8
    # Units of the double array: root offset 1; 'a' at 1 ^ 97 = 96, its leaf at 96 ^ 1 = 97.
    units = [0] * 256
    units[0] = 1 << 10
    units[96] = 97 | unit_leaf | (1 << 10)
    units[97] = 0 | (1 << 31)
    blob = struct.pack("<I", 4 * len(units)) + struct.pack("<%dI" % len(units), *units) + b"X\0"
    state = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    t = Tokenizer(models.BPE())
    data = json.loads(t.to_str())
    data["normalizer"] = state
    rule = Tokenizer.from_str(json.dumps(data)).normalizer
    assert rule.normalize_str("a") == "X"
    joined = {BREAKS.index(x) for x in ("Extend", "ZWJ", "SpacingMark")}
    wrong = [c for c in CODES if c
             and (rule.normalize_str("a" + chr(c)) == "X") != (kinds.get(c, 0) in joined)]
    if wrong:
        sys.exit("regex %s follows another Unicode than the library: %s"
                 % (regex.__version__, " ".join(hex(c) for c in wrong[:40])))


def emit_rows(rows, per_line):
    for i in range(0, len(rows), per_line):
        print("    " + ", ".join(rows[i:i + per_line]) + ",")


def main():
    nfd, nfc, lower = normalizers.NFD(), normalizers.NFC(), normalizers.Lowercase()
    letters, numbers, spaces = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    assert spaces == white_space()
    words = word_characters()
    full = decompositions(nfd)
    classes = combining_classes(nfd)
    pairs = compositions(nfc, full)
    kinds, flags = grapheme_classes()
    check_graphemes(kinds)

    records, index_of, rows = [], {}, []
    for c in range(0x110000):
        bits = flags.get(c, 0)
        for found, bit in ((letters, LETTER), (numbers, NUMBER), (spaces, SPACE), (words, WORD)):
            bits |= bit if c in found else 0
        record = (bits, kinds.get(c, 0), classes.get(c, 0))
        if record not in index_of:
            index_of[record] = len(records)
            records.append(record)
        rows.append(index_of[record])
    assert len(records) <= 256
    blocks, block_of, stage = [], {}, []
    for start in range(0, 0x110000, BLOCK):
        block = tuple(rows[start:start + BLOCK])
        if block not in block_of:
            block_of[block] = len(blocks)
            blocks.append(block)
        stage.append(block_of[block])
    lowered = [(c, [ord(x) for x in lower.normalize_str(chr(c))]) for c in CODES
               if lower.normalize_str(chr(c)) != chr(c)]

    print("/* Made by tools/make_unicode_tables.py with tokenizers %s and regex %s; do not edit. */"
          % (tokenizers.__version__, regex.__version__))
    print("#include \"text/unicode_tables.h\"\n\n/* clang-format off */")
    print("const struct unicode_record UNICODE_RECORDS[] = {")
    emit_rows(["{%d, %d, %d}" % r for r in records], 8)
    print("};\n\nconst uint16_t UNICODE_STAGE[] = {")
    emit_rows([str(x) for x in stage], 24)
    print("};\n\nconst uint8_t UNICODE_BLOCKS[][%d] = {" % BLOCK)
    for block in blocks:
        print("    {" + ", ".join(map(str, block)) + "},")
    print("};")
    for name, table in (("LOWER", lowered), ("DECOMPOSITIONS", sorted(full.items()))):
        assert max(len(parts) for _, parts in table) <= 4
        print("\nconst struct unicode_mapping UNICODE_%s[] = {" % name)
        emit_rows(["{0x%x, {%s}}" % (c, ", ".join("0x%x" % p for p in parts))
                   for c, parts in table], 4)
        print("};\nconst size_t UNICODE_N_%s = %d;" % (name, len(table)))
    print("\nconst struct unicode_pair UNICODE_COMPOSITIONS[] = {")
    emit_rows(["{0x%x, 0x%x, 0x%x}" % (a, b, c) for (a, b), c in sorted(pairs.items())], 5)
    print("};\nconst size_t UNICODE_N_COMPOSITIONS = %d;" % len(pairs))
    print("/* clang-format on */")


if __name__ == "__main__":
    main()
