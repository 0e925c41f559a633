"""Types of PTX, and small things that all parts of the translator use."""

import re

# Bytes of each type.
WIDTH = {
    "pred": 1, "b8": 1, "u8": 1, "s8": 1,
    "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2,
    "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4,
    "b64": 8, "u64": 8, "s64": 8, "f64": 8,
    "b128": 16,
}  # fmt: skip
UNSIGNED = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}
SIGNED = {1: "int8_t", 2: "int16_t", 4: "int32_t", 8: "int64_t"}
FLOATS = ("f32", "f64", "f16", "bf16")
PAIRS = ("f16x2", "bf16x2")


class Unsupported(Exception):
    """PTX that the translator does not know. It must stop the build, never be skipped."""


def unsupported(parts):
    return Unsupported("instruction " + ".".join(parts))


class Registry:
    """Decorator: the function handles these mnemonics."""

    def __init__(self, handlers):
        self.handlers = handlers

    def __call__(self, *mnemonics):
        def register(handler):
            self.handlers.update(dict.fromkeys(mnemonics, handler))
            return handler

        return register


def is_float(kind):
    return kind in FLOATS


def c_integer(kind):
    """The C type that has the range of an integer type."""
    return (SIGNED if kind[0] == "s" else UNSIGNED)[WIDTH[kind]]


def unsigned(kind):
    return "u" + kind[1:]


def c_name(name):
    return re.sub(r"\W", "_", name)


def split_operands(text):
    """Split at commas outside brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char in "{[(") - (char in "}])")
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        parts.append(current.strip())
    return parts
