"""Instructions: each handler returns the C statements for one of them.

Handlers get the function (for operands), the opcode's parts ("add.s32" -> ["add", "s32"]) and the
operands; t is the last part, the type. What a handler does not know raises Unsupported.
"""

from ptx_tensor import TENSOR_HANDLERS
from ptx_types import (
    FLOATS,
    PAIRS,
    SIGNED,
    UNSIGNED,
    WIDTH,
    Unsupported,
    c_integer,
    c_name,
    is_float,
    split_operands,
    unsigned,
)

HANDLERS = dict(TENSOR_HANDLERS)


def handles(*mnemonics):
    def register(handler):
        for mnemonic in mnemonics:
            HANDLERS[mnemonic] = handler
        return handler

    return register


def unsupported(parts):
    return Unsupported("instruction " + ".".join(parts))


def translate(f, opcode, operands):
    parts = opcode.split(".")
    handler = HANDLERS.get(parts[0])
    if not handler:
        raise unsupported(parts)
    return handler(f, parts, operands)


# ---- moves and memory


@handles("mov")
def move(f, parts, ops):
    t = parts[-1]
    if ops[0].startswith("{"):
        targets = f.elements(ops[0])
        width = WIDTH[t] // len(targets)
        return "uint64_t x = %s; " % f.value(ops[1], 8) + " ".join(
            "%s = (%s)(x >> %d);" % (f.target(d), UNSIGNED[width], 8 * width * i)
            for i, d in enumerate(targets)
            if d != "_"
        )
    if ops[1].startswith("{"):
        sources = f.elements(ops[1])
        width = WIDTH[t] // len(sources)
        joined = " | ".join(
            "(uint64_t)(%s)%s << %d" % (UNSIGNED[width], f.value(x, width), 8 * width * i)
            for i, x in enumerate(sources)
        )
        return "%s = %s;" % (f.target(ops[0]), joined)
    return "%s = %s;" % (f.target(ops[0]), f.value(ops[1], WIDTH[t]))


def space_of(parts):
    for part in parts[1:]:
        for space in ("global", "shared", "local", "param", "const"):
            if part == space or part.startswith(space + "::"):
                return space
    return "generic"


@handles("ld", "ldu")
def load(f, parts, ops):
    t, space = parts[-1], space_of(parts)
    targets, width = f.elements(ops[0]), WIDTH[parts[-1]]
    if space == "param" and not ops[1].startswith("[%"):
        base, _, offset = ops[1].strip("[] ").partition("+")
        base = base.strip()
        place = f.symbols.get(base) or f.parameter(base)
        code = "char *p = (char *)%s + %d; " % (place, int(offset or 0))
    else:
        code = "char *p = %s; " % f.address(ops[1], space)
    if space not in ("local", "param", "const"):
        code += "vgpu_read(p, %d, %d); " % (width * len(targets), f.line)
    c_type = c_integer(t)
    for i, target in enumerate(targets):
        if target != "_":
            name, declared = f.register(target)
            cast = "(%s)" % SIGNED[WIDTH[declared]] if t[0] == "s" else ""
            code += "%s = %sptx_load_%s(p + %d); " % (name, cast, c_type, i * width)
    return code


@handles("st")
def store(f, parts, ops):
    space, width = space_of(parts), WIDTH[parts[-1]]
    sources = f.elements(ops[1])
    code = "char *p = %s; " % f.address(ops[0], space)
    if space not in ("local", "param"):
        code += "vgpu_write(p, %d, %d); " % (width * len(sources), f.line)
    return code + " ".join(
        "ptx_store_%s(p + %d, (%s)%s);" % (UNSIGNED[width], i * width, UNSIGNED[width], f.value(x, width))
        for i, x in enumerate(sources)
    )


@handles("cvta")
def convert_address(f, parts, ops):
    return "%s = %s;" % (f.target(ops[0]), f.value(ops[1], 8))


@handles("membar", "fence", "prefetch", "prefetchu", "griddepcontrol", "discard", "applypriority")
def nothing(f, parts, ops):
    return ""


# ---- arithmetic


def pairwise(f, parts, ops):
    """f16x2 and bf16x2: two halves of a register."""
    kind = parts[-1][:-2]
    forms = {
        "add": "%s + %s",
        "sub": "%s - %s",
        "mul": "%s * %s",
        "min": "fminf(%s, %s)",
        "max": "fmaxf(%s, %s)",
        "fma": "fmaf(%s, %s, %s)",
    }
    if parts[0] not in forms or "relu" in parts or "sat" in parts:
        raise unsupported(parts)
    halves = []
    for shift in (0, 16):
        values = ["vgpu_from_%s((uint16_t)((%s) >> %d))" % (kind, f.value(x), shift) for x in ops[1:]]
        halves.append("(uint32_t)vgpu_to_%s(%s) << %d" % (kind, forms[parts[0]] % tuple(values), shift))
    return "%s = %s;" % (f.target(ops[0]), " | ".join(halves))


@handles("add", "sub")
def add(f, parts, ops):
    t, sign = parts[-1], "+" if parts[0] == "add" else "-"
    if t in PAIRS:
        return pairwise(f, parts, ops)
    if "cc" in parts or "sat" in parts:
        raise unsupported(parts)
    if not is_float(t):
        t = unsigned(t)
    values = "%s %s %s" % (f.read(ops[1], t), sign, f.read(ops[2], t))
    return f.write(ops[0], t, values if is_float(t) else "(%s)(%s)" % (UNSIGNED[WIDTH[t]], values))


@handles("mul", "mad")
def multiply(f, parts, ops):
    t = parts[-1]
    if t in PAIRS:
        return pairwise(f, parts, ops)
    if "cc" in parts or "sat" in parts:
        raise unsupported(parts)
    a, b = f.read(ops[1], t), f.read(ops[2], t)
    if is_float(t):
        if parts[0] == "mad":
            return fused(f, parts, ops)
        return f.write(ops[0], t, "%s * %s" % (a, b))
    width, sign = WIDTH[t], "" if t[0] == "s" else "u"
    if "wide" in parts:
        result = unsigned(t)[0] + str(width * 16)
        value = "(uint%d_t)((%sint%d_t)%s * %s)" % (width * 16, sign, width * 16, a, b)
    elif "hi" in parts:
        result = unsigned(t)
        wide = ("unsigned __int128" if sign else "__int128") if width == 8 else sign + "int64_t"
        value = "(%s)(((%s)%s * %s) >> %d)" % (UNSIGNED[width], wide, a, b, width * 8)
    else:
        result = unsigned(t)
        value = "(%s)((uint64_t)%s * %s)" % (UNSIGNED[width], f.read(ops[1], result), f.read(ops[2], result))
    if parts[0] == "mad":
        value = "%s + %s" % (value, f.read(ops[3], result))
    return "%s = (%s)(%s);" % (f.target(ops[0]), UNSIGNED[WIDTH[result]], value)


@handles("fma")
def fused(f, parts, ops):
    t = parts[-1]
    if t in PAIRS:
        return pairwise(f, parts, ops)
    values = ", ".join(f.read(x, t) for x in ops[1:])
    value = "%s(%s)" % ("fma" if t == "f64" else "fmaf", values)
    return f.write(ops[0], t, "fmaxf(%s, 0.0f)" % value if "relu" in parts else value)


@handles("div", "rem")
def divide(f, parts, ops):
    t, sign = parts[-1], "/" if parts[0] == "div" else "%"
    a, b = f.read(ops[1], t), f.read(ops[2], t)
    if is_float(t):
        return f.write(ops[0], t, "%s %s %s" % (a, sign, b))
    # Division by zero gives no trap on a device.
    return "%s x = %s, y = %s; " % (c_integer(t), a, b) + f.write(
        ops[0], t, "y == 0 ? (%s)-1 : x %s y" % (c_integer(t), sign)
    )


@handles("abs")
def absolute(f, parts, ops):
    t = parts[-1]
    if t in PAIRS:
        return "%s = %s & 0x7fff7fffu;" % (f.target(ops[0]), f.value(ops[1]))
    return f.write(ops[0], t, ("fabs(%s)" if is_float(t) else "llabs(%s)") % f.read(ops[1], t))


@handles("neg")
def negate(f, parts, ops):
    t = parts[-1]
    if t in PAIRS:
        return "%s = %s ^ 0x80008000u;" % (f.target(ops[0]), f.value(ops[1]))
    if is_float(t):
        return f.write(ops[0], t, "-%s" % f.read(ops[1], t))
    return "%s = (%s)(0 - %s);" % (f.target(ops[0]), UNSIGNED[WIDTH[t]], f.value(ops[1], WIDTH[t]))


@handles("min", "max")
def extreme(f, parts, ops):
    t, name = parts[-1], parts[0]
    if t in PAIRS:
        return pairwise(f, parts, ops)
    values = [f.read(x, t) for x in ops[1:]]
    if is_float(t):
        function = "f%s%s" % (name, "" if t == "f64" else "f")
        value = values[0]
        for other in values[1:]:  # three operands from sm_100
            value = "%s(%s, %s)" % (function, value, other)
        if "NaN" in parts:
            value = "%s ? NAN : %s" % (" || ".join("isnan(%s)" % x for x in values), value)
        return f.write(ops[0], t, value)
    c_type = c_integer(t)
    return "%s x = %s, y = %s; " % (c_type, values[0], values[1]) + f.write(
        ops[0], t, "x %s y ? x : y" % ("<" if name == "min" else ">")
    )


FUNCTIONS = {
    "ex2": "exp2%s(%s)",
    "lg2": "log2%s(%s)",
    "sqrt": "sqrt%s(%s)",
    "rsqrt": "1 / sqrt%s(%s)",
    "rcp": "1.0%s / (%s)",
    "sin": "sin%s(%s)",
    "cos": "cos%s(%s)",
    "tanh": "tanh%s(%s)",
}


@handles(*FUNCTIONS)
def function(f, parts, ops):
    t = parts[-1]
    if t not in ("f32", "f64"):
        raise unsupported(parts)
    x = f.read(ops[1], t)
    if "ftz" in parts:
        x = "ptx_flush(%s)" % x
    return f.write(ops[0], t, FUNCTIONS[parts[0]] % ("f" if t == "f32" else "", x))


@handles("copysign")
def copy_sign(f, parts, ops):
    t = parts[-1]
    suffix = "f" if t == "f32" else ""
    return f.write(ops[0], t, "copysign%s(%s, %s)" % (suffix, f.read(ops[2], t), f.read(ops[1], t)))


# ---- comparison and choice

COMPARISONS = {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "lo": "<", "ls": "<=", "hi": ">", "hs": ">=",
}  # fmt: skip


def comparison(parts, x, y):
    how, t = parts[1], parts[-1]
    if how in ("num", "nan"):
        either = "(isnan(%s) || isnan(%s))" % (x, y)
        return either if how == "nan" else "!" + either
    if is_float(t) and how.endswith("u"):  # true if unordered
        return "(isnan(%s) || isnan(%s) || %s %s %s)" % (x, y, x, COMPARISONS[how[:-1]], y)
    if is_float(t) and how == "ne":
        return "(!isnan(%s) && !isnan(%s) && %s != %s)" % (x, y, x, y)
    return "(%s %s %s)" % (x, COMPARISONS[how], y)


@handles("setp")
def set_predicate(f, parts, ops):
    t = parts[-1]
    code = "int c = %s, r0 = c, r1 = !c; " % comparison(parts, f.read(ops[1], t), f.read(ops[2], t))
    for part in parts[2:-1]:
        if part in ("and", "or", "xor"):
            sign = {"and": "&", "or": "|", "xor": "^"}[part]
            code += "r0 = r0 {0} ({1} != 0), r1 = r1 {0} ({1} != 0); ".format(sign, f.value(ops[3]))
    for i, target in enumerate(ops[0].split("|")):
        if target != "_":
            code += "%s = (uint8_t)r%d; " % (f.target(target), i)
    return code + "(void)r1;"


@handles("set")
def set_value(f, parts, ops):
    ones = {"f32": "0x3f800000u", "u32": "0xffffffffu", "s32": "0xffffffffu", "bf16": "0x3f80", "f16": "0x3c00"}
    if len(parts) != 4 or parts[2] not in ones:
        raise unsupported(parts)
    t = parts[-1]
    is_true = comparison(parts, f.read(ops[1], t), f.read(ops[2], t))
    return "%s = %s ? %s : 0;" % (f.target(ops[0]), is_true, ones[parts[2]])


@handles("selp")
def select(f, parts, ops):
    width = WIDTH[parts[-1]]
    return "%s = %s ? %s : %s;" % (
        f.target(ops[0]), f.value(ops[3]), f.value(ops[1], width), f.value(ops[2], width)
    )  # fmt: skip


@handles("testp")
def test_property(f, parts, ops):
    forms = {"finite": "isfinite(%s)", "infinite": "isinf(%s) != 0", "notanumber": "isnan(%s)", "number": "!isnan(%s)"}
    if parts[1] not in forms:
        raise unsupported(parts)
    return "%s = %s;" % (f.target(ops[0]), forms[parts[1]] % f.read(ops[1], parts[-1]))


# ---- bits


@handles("and", "or", "xor")
def logic(f, parts, ops):
    width = WIDTH[parts[-1]]
    sign = {"and": "&", "or": "|", "xor": "^"}[parts[0]]
    return "%s = %s %s %s;" % (f.target(ops[0]), f.value(ops[1], width), sign, f.value(ops[2], width))


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
        return code + "if (n > %d) n = %d; " % (top, top) + f.write(ops[0], t, "%s >> n" % f.read(ops[1], t))
    return code + "%s = n > %d ? 0 : %s >> n;" % (f.target(ops[0]), top, f.read(ops[1], unsigned(t)))


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
    return names + "(void)x, (void)y, (void)z; %s = %s;" % (f.target(ops[0]), " | ".join(terms) or "0")


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
    return "%s = (uint32_t)__builtin_popcountll(%s);" % (f.target(ops[0]), f.read(ops[1], parts[-1]))


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


# ---- control


@handles("bra")
def branch(f, parts, ops):
    return "goto %s;" % c_name(ops[0])


@handles("ret", "exit")
def leave(f, parts, ops):
    return "return;"


@handles("trap")
def trap(f, parts, ops):
    return 'vgpu_report(VGPU_TRAP, %d, "trap"); return;' % f.line


@handles("call")
def call(f, parts, ops):
    result = None
    if ops[0].startswith("("):
        result = ops.pop(0)[1:-1].strip()
    arguments = split_operands(ops[1][1:-1]) if len(ops) > 1 else []
    if ops[0] not in f.module.names:
        raise Unsupported("call of " + ops[0])
    places = ", ".join([f.symbols[x] for x in arguments] + ["0"])
    return "char *A[] = {%s}; f_%s(%s, A);" % (places, c_name(ops[0]), f.symbols[result] if result else "0")
