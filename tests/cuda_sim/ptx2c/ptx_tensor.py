"""Instructions that several threads take part in: barriers, warp operations, atomics, asynchronous
copies and the tensor cores."""

from ptx_types import WIDTH, Registry, c_integer, unsupported

TENSOR_HANDLERS = {}
handles = Registry(TENSOR_HANDLERS)


@handles("bar", "barrier")
def barrier(f, parts, ops):
    if "warp" in parts:
        return "vgpu_sync_warp(%s, %d);" % (f.value(ops[0]), f.line)
    if "sync" not in parts:
        raise unsupported(parts)
    count = "(int)" + f.value(ops[1]) if len(ops) > 1 else "0"
    return "vgpu_barrier((int)%s, %s, %d);" % (f.value(ops[0]), count, f.line)


@handles("shfl")
def shuffle(f, parts, ops):
    op = {"bfly": "XOR", "up": "UP", "down": "DOWN", "idx": "INDEX"}[parts[2]]
    arguments = ", ".join(f.value(x) for x in ops[1:5])
    code = "uint8_t q; uint32_t r = vgpu_shuffle(VGPU_SHUFFLE_%s, %s, &q, %d); " % (
        op,
        arguments,
        f.line,
    )
    for target, value in zip(ops[0].split("|"), ("r", "q")):
        if target != "_":
            code += "%s = %s; " % (f.target(target), value)
    return code


@handles("vote")
def vote(f, parts, ops):
    op = parts[2].upper()
    if op not in ("BALLOT", "ANY", "ALL"):
        raise unsupported(parts)
    arguments = (f.target(ops[0]), op, f.value(ops[1]), f.value(ops[2]), f.line)
    return "%s = vgpu_vote(VGPU_%s, %s, %s, %d);" % arguments


@handles("match")
def match(f, parts, ops):
    if parts[1] != "any" or parts[-1] != "b32":
        raise unsupported(parts)
    return "%s = vgpu_match_any(%s, %s, %d);" % (
        f.target(ops[0]),
        f.value(ops[1]),
        f.value(ops[2]),
        f.line,
    )


@handles("redux")
def reduce(f, parts, ops):
    op = parts[2].upper() + ("_" + parts[-1].upper() if parts[2] in ("min", "max") else "")
    if parts[-1][0] == "f":
        raise unsupported(parts)
    arguments = (f.target(ops[0]), op, f.value(ops[1]), f.value(ops[2]), f.line)
    return "%s = vgpu_reduce(VGPU_%s, %s, %s, %d);" % arguments


@handles("atom", "red")
def atomic(f, parts, ops):
    t, space = parts[-1], "shared" if any(p.startswith("shared") for p in parts) else "global"
    target = ops.pop(0) if parts[0] == "atom" else None
    known = ("add", "max", "min", "exch", "cas", "and", "or", "xor")
    op = next((p for p in parts if p in known), None)
    if not op or t not in WIDTH or t in ("f16", "bf16", "f16x2", "bf16x2"):
        raise unsupported(parts)
    forms = {
        "add": "x + y",
        "and": "x & y",
        "or": "x | y",
        "xor": "x ^ y",
        "max": "x > y ? x : y",
        "min": "x < y ? x : y",
        "exch": "y",
        "cas": "x == y ? %s : x" % (f.read(ops[2], t) if op == "cas" else ""),
    }
    c_type = {"f32": "float", "f64": "double"}.get(t) or c_integer(t)
    code = "char *p = %s; vgpu_atomic(p, %d, %d); " % (f.address(ops[0], space), WIDTH[t], f.line)
    code += "{0} x = ptx_load_{0}(p), y = {1}; ptx_store_{0}(p, {2}); ".format(
        c_type, f.read(ops[1], t), forms[op]
    )
    return code + (f.write(target, t, "x") if target else "")


@handles("mma")
def mma(f, parts, ops):
    """mma.sync.aligned.shape.row.col[.satfinite].d.a.b.c; saturation of int32 is not modelled."""
    parts = [p for p in parts if p != "satfinite"]
    shape, layouts, kinds = parts[3], parts[4:6], parts[6:10]
    shapes = {
        "bf16": "m16n8k16",
        "f16": "m16n8k16",
        "s8": "m16n8k32",
        "u8": "m16n8k32",
        "e4m3": "m16n8k32",
        "e5m2": "m16n8k32",
        "tf32": "m16n8k8",
    }
    accumulator, a, b = kinds[0], kinds[1], kinds[2]
    if (
        a != b
        or shapes.get(a) != shape
        or layouts != ["row", "col"]
        or accumulator not in ("f32", "s32")
    ):
        raise unsupported(parts)
    registers = [", ".join(f.value(x) for x in f.elements(op)) for op in ops[1:4]]
    code = "uint32_t d[4], a[4] = {%s}, b[2] = {%s}, c[4] = {%s}; " % tuple(registers)
    code += "vgpu_mma(d, a, b, c, VGPU_%s, %d); " % (a.upper(), f.line)
    return code + " ".join(
        "%s = d[%d];" % (f.target(x), i) for i, x in enumerate(f.elements(ops[0]))
    )


@handles("ldmatrix")
def ldmatrix(f, parts, ops):
    if parts[3] != "m8n8" or parts[-1] != "b16":
        raise unsupported(parts)
    targets = f.elements(ops[0])
    place = f.address(ops[1], "shared")
    code = "uint32_t r[4]; vgpu_ldmatrix(r, %d, %d, %s, %d); " % (
        len(targets),
        "trans" in parts,
        place,
        f.line,
    )
    return code + " ".join("%s = r[%d];" % (f.target(x), i) for i, x in enumerate(targets))


@handles("cp")
def copy(f, parts, ops):
    if parts[1] != "async":
        raise unsupported(parts)
    if parts[2] in ("ca", "cg"):
        size = int(ops[2], 0)
        valid = "(int)" + f.value(ops[3]) if len(ops) > 3 else str(size)
        places = (f.address(ops[0], "shared"), f.address(ops[1], "global"))
        return "vgpu_copy_async(%s, %s, %d, %s, %d);" % (*places, size, valid, f.line)
    if parts[2] == "commit_group":
        return "vgpu_copy_commit();"
    if parts[2] == "wait_group":
        return "vgpu_copy_wait((int)%s);" % f.value(ops[0])
    if parts[2] == "wait_all":
        return "vgpu_copy_wait(-1);"
    raise unsupported(parts)
