"""Instructions: each handler returns the C statements for one of them.

Handlers get the function (for operands), the opcode's parts ("add.s32" -> ["add", "s32"]) and the
operands; t is the last part, the type. What a handler does not know raises Unsupported.
"""

from ptx_bits import BIT_HANDLERS
from ptx_tensor import TENSOR_HANDLERS
from ptx_types import (
    PAIRS,
    SIGNED,
    UNSIGNED,
    WIDTH,
    Registry,
    Unsupported,
    c_integer,
    c_name,
    is_float,
    split_operands,
    unsigned,
    unsupported,
)

HANDLERS = {}
handles = Registry(HANDLERS)


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
        "ptx_store_%s(p + %d, (%s)%s);"
        % (UNSIGNED[width], i * width, UNSIGNED[width], f.value(x, width))
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
        values = [
            "vgpu_from_%s((uint16_t)((%s) >> %d))" % (kind, f.value(x), shift) for x in ops[1:]
        ]
        halves.append(
            "(uint32_t)vgpu_to_%s(%s) << %d" % (kind, forms[parts[0]] % tuple(values), shift)
        )
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
        value = "(%s)((uint64_t)%s * %s)" % (
            UNSIGNED[width],
            f.read(ops[1], result),
            f.read(ops[2], result),
        )
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
    ones = {
        "f32": "0x3f800000u",
        "u32": "0xffffffffu",
        "s32": "0xffffffffu",
        "bf16": "0x3f80",
        "f16": "0x3c00",
    }
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
    forms = {
        "finite": "isfinite(%s)",
        "infinite": "isinf(%s) != 0",
        "notanumber": "isnan(%s)",
        "number": "!isnan(%s)",
    }
    if parts[1] not in forms:
        raise unsupported(parts)
    return "%s = %s;" % (f.target(ops[0]), forms[parts[1]] % f.read(ops[1], parts[-1]))


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
    return "char *A[] = {%s}; f_%s(%s, A);" % (
        places,
        c_name(ops[0]),
        f.symbols[result] if result else "0",
    )


# ---- all of them

ALL_HANDLERS = HANDLERS | BIT_HANDLERS | TENSOR_HANDLERS


def translate(f, opcode, operands):
    parts = opcode.split(".")
    handler = ALL_HANDLERS.get(parts[0])
    if not handler:
        raise unsupported(parts)
    return handler(f, parts, operands)
