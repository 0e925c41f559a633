"""Instructions on bits, and conversions between types (see ptx_instructions)."""

from ptx_types import (
    FLOATS,
    PAIRS,
    UNSIGNED,
    WIDTH,
    Registry,
    c_integer,
    unsigned,
    unsupported,
)

BIT_HANDLERS = {}
handles = Registry(BIT_HANDLERS)


# ---- bits


@handles("and", "or", "xor")
def logic(f, parts, ops):
    width = WIDTH[parts[-1]]
    sign = {"and": "&", "or": "|", "xor": "^"}[parts[0]]
    return "%s = %s %s %s;" % (
        f.target(ops[0]),
        f.value(ops[1], width),
        sign,
        f.value(ops[2], width),
    )


@handles("not")
def logical_not(f, parts, ops):
    t = parts[-1]
    sign = "!" if t == "pred" else "~"
    return "%s = %s%s;" % (f.target(ops[0]), sign, f.value(ops[1], WIDTH[t]))


@handles("shl", "shr")
def shift(f, parts, ops):
    t, width = parts[-1], WIDTH[parts[-1]]
    top = 8 * width - 1
    code = "uint32_t n = %s; " % f.value(ops[2])
    if parts[0] == "shl":
        value = "(%s)%s << n" % (UNSIGNED[width], f.value(ops[1], width))
        return code + "%s = n > %d ? 0 : %s;" % (f.target(ops[0]), top, value)
    if t[0] == "s":
        return (
            code
            + "if (n > %d) n = %d; " % (top, top)
            + f.write(ops[0], t, "%s >> n" % f.read(ops[1], t))
        )
    return code + "%s = n > %d ? 0 : %s >> n;" % (
        f.target(ops[0]),
        top,
        f.read(ops[1], unsigned(t)),
    )


@handles("shf")
def funnel_shift(f, parts, ops):
    by = f.value(ops[3])
    n = "(%s & 31)" % by if "wrap" in parts else "(%s > 32 ? 32 : %s)" % (by, by)
    pair = "((uint64_t)%s << 32 | %s)" % (f.value(ops[2]), f.value(ops[1]))
    form = "(uint32_t)((%s << %s) >> 32)" if parts[1] == "l" else "(uint32_t)(%s >> %s)"
    return "%s = %s;" % (f.target(ops[0]), form % (pair, n))


@handles("lop3")
def lookup(f, parts, ops):
    table = int(ops[4], 0)
    terms = [
        "(%sx & %sy & %sz)" % ("" if i & 4 else "~", "" if i & 2 else "~", "" if i & 1 else "~")
        for i in range(8)
        if table >> i & 1
    ]
    names = "uint32_t x = %s, y = %s, z = %s; " % tuple(f.value(x) for x in ops[1:4])
    return names + "(void)x, (void)y, (void)z; %s = %s;" % (
        f.target(ops[0]),
        " | ".join(terms) or "0",
    )


@handles("bfe", "bfi", "brev", "prmt", "dp4a")
def helper(f, parts, ops):
    """Those that ptx.h has a function for."""
    name = "_".join([parts[0], *parts[1:]])
    known = {"bfe_u32", "bfe_s32", "bfi_b32", "brev_b32", "prmt_b32", "dp4a_s32_s32"}
    if name not in known:
        raise unsupported(parts)
    name = {"prmt_b32": "prmt", "dp4a_s32_s32": "dp4a"}.get(name, name)
    return "%s = ptx_%s(%s);" % (f.target(ops[0]), name, ", ".join(f.value(x) for x in ops[1:]))


@handles("popc")
def population(f, parts, ops):
    return "%s = (uint32_t)__builtin_popcountll(%s);" % (
        f.target(ops[0]),
        f.read(ops[1], parts[-1]),
    )


@handles("clz")
def leading_zeros(f, parts, ops):
    bits, x = 8 * WIDTH[parts[-1]], f.read(ops[1], unsigned(parts[-1]))
    value = "%s ? (uint32_t)__builtin_clzll(%s) - %d : %d" % (x, x, 64 - bits, bits)
    return "%s = %s;" % (f.target(ops[0]), value)


@handles("bfind")
def highest_bit(f, parts, ops):
    t, bits = parts[-1], 8 * WIDTH[parts[-1]]
    x = f.read(ops[1], t)
    if t[0] == "s":
        x = "(%s < 0 ? (%s)~%s : (%s)%s)" % (x, UNSIGNED[WIDTH[t]], x, UNSIGNED[WIDTH[t]], x)
    code = "uint64_t x = %s; uint32_t r = x ? 63 - (uint32_t)__builtin_clzll(x) : UINT32_MAX; " % x
    shifted = "x ? %d - r : r" % (bits - 1) if "shiftamt" in parts else "r"
    return code + "%s = %s;" % (f.target(ops[0]), shifted)


# ---- conversion


def round_to_pair(f, parts, ops):
    """cvt of two f32 into one register: the first operand is the upper half."""
    kind, source = parts[-2], parts[-1]
    values = [f.read(x, source) for x in ops[1:3]]
    if "relu" in parts:
        values = ["fmaxf(%s, 0.0f)" % x for x in values]
    if kind in PAIRS:
        halves = tuple("vgpu_to_%s(%s)" % (kind[:-2], x) for x in values)
        return "%s = (uint32_t)%s << 16 | %s;" % (f.target(ops[0]), *halves)
    halves = tuple("vgpu_to_fp8(%s, VGPU_%s)" % (x, kind[:4].upper()) for x in values)
    return "%s = (uint16_t)(%s << 8 | %s);" % (f.target(ops[0]), *halves)


@handles("cvt")
def convert(f, parts, ops):
    target, source = parts[-2], parts[-1]
    modifiers = parts[1:-2]
    small = ("e4m3x2", "e5m2x2")
    if source == "f32" and target in PAIRS + small:
        return round_to_pair(f, parts, ops)
    if target == "f16x2" and source in small:
        form = "vgpu_to_f16(vgpu_from_fp8((uint8_t)(%s >> %d), VGPU_%s))"
        halves = tuple(form % (f.value(ops[1]), shift, source[:4].upper()) for shift in (8, 0))
        return "%s = (uint32_t)%s << 16 | %s;" % (f.target(ops[0]), *halves)
    if target == "tf32" and source == "f32":  # ties away from zero
        return "%s = (%s + 0x1000u) & 0xffffe000u;" % (f.target(ops[0]), f.value(ops[1]))
    if target not in WIDTH or source not in WIDTH:
        raise unsupported(parts)
    x = f.read(ops[1], source)
    rounding = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
    for modifier in modifiers:
        if modifier in rounding and source in FLOATS:
            x = "%s(%s)" % (rounding[modifier], x)
    if target in FLOATS:
        narrows = source in FLOATS and WIDTH[target] < WIDTH[source]
        if narrows and not {"rn", *rounding} & set(modifiers):
            raise unsupported(parts)
        if "sat" in modifiers:
            x = "fmin(fmax(%s, 0.0), 1.0)" % x
        return f.write(ops[0], target, "(%s)(%s)" % ("double" if target == "f64" else "float", x))
    if source in FLOATS:
        sign = "signed" if target[0] == "s" else "unsigned"
        return f.write(ops[0], target, "ptx_to_%s((double)%s, %d)" % (sign, x, 8 * WIDTH[target]))
    if "sat" in modifiers:
        raise unsupported(parts)
    return f.write(ops[0], target, "(%s)%s" % (c_integer(target), x))
