"""One function or kernel: its registers, operands, and the walk over its body.

Registers become unsigned locals of the same width, labels stay labels, parameters are offsets into
the argument block (kernels) or pointers (device functions). Instructions are in ptx_instructions.
"""

import re

from ptx_instructions import translate
from ptx_types import (
    FLOATS,
    SIGNED,
    UNSIGNED,
    WIDTH,
    Unsupported,
    c_integer,
    c_name,
    split_operands,
)

SPECIAL = {
    "%laneid": "vgpu_self->lane",
    "%warpid": "vgpu_self->warp",
    "%nwarpid": "vgpu_grid.n_warps",
    "%smid": "0u",
    "%nsmid": "1u",
    "%clock": "0u",
    "%clock64": "0ull",
    "%globaltimer": "0ull",
    "%lanemask_eq": "(1u << vgpu_self->lane)",
    "%lanemask_lt": "((1u << vgpu_self->lane) - 1)",
    "%lanemask_le": "((2u << vgpu_self->lane) - 1)",
    "%lanemask_gt": "(~((2u << vgpu_self->lane) - 1))",
    "%lanemask_ge": "(~((1u << vgpu_self->lane) - 1))",
    "%dynamic_smem_size": "vgpu_grid.dynamic_bytes",
}
for axis in "xyz":
    SPECIAL["%tid." + axis] = "vgpu_self->index." + axis
    SPECIAL["%ntid." + axis] = "vgpu_grid.block_dim." + axis
    SPECIAL["%ctaid." + axis] = "vgpu_grid.block." + axis
    SPECIAL["%nctaid." + axis] = "vgpu_grid.grid_dim." + axis

PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+"
    r"(?:\.ptr\s+(?:\.(?:global|shared|const|local)\s+)?(?:\.align\s+\d+\s+)?)?"
    r"([\w$]+)(?:\[(\d+)\])?"
)
LABEL = re.compile(r"([\w$%]+):(?!:)")
REGISTERS = re.compile(r"\.reg\s*\.(\w+)\s+(.*)")
ARRAY = re.compile(
    r"\.(param|local|shared)\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)(?:\[(\d+)\])?$"
)
ADDRESS = re.compile(r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?\w+))?\s*\]$")


class Function:
    def __init__(self, module, name, parameters, directives="", is_kernel=True):
        self.module, self.name = module, name
        self.directives, self.is_kernel = directives, is_kernel
        self.line = 0  # of the .cu file
        self.out = []
        self.scopes = [{}]  # register name -> (C name, type)
        self.n_scopes = 0
        self.symbols = {}  # arrays of this function -> C expression
        self.parameters = []  # (name, offset, size)
        offset = 0
        for text in parameters:
            match = PARAMETER.match(text)
            if not match:
                raise Unsupported("parameter " + text)
            align, kind, parameter, count = match.groups()
            size = WIDTH[kind] * int(count or 1)
            align = int(align or WIDTH[kind])
            offset = (offset + align - 1) // align * align
            self.parameters.append((parameter, offset, size))
            offset += size
        self.parameter_bytes = offset

    # ---- operands

    def find_register(self, name):
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def register(self, name):
        found = self.find_register(name)
        if not found:
            raise Unsupported("register " + name)
        return found

    def target(self, name):
        return self.register(name)[0]

    def parameter(self, name):
        for i, (parameter, offset, _) in enumerate(self.parameters):
            if parameter == name:
                return "(P + %d)" % offset if self.is_kernel else "A[%d]" % i
        raise Unsupported("symbol " + name)

    def symbol(self, name):
        place = self.symbols.get(name) or self.module.symbols.get(name) or self.parameter(name)
        return "((uint64_t)(uintptr_t)%s)" % place

    def value(self, text, width=4):
        """Unsigned C expression of an operand."""
        text = text.strip()
        if text.startswith("!"):
            return "(!%s)" % self.value(text[1:])
        if text in SPECIAL:
            return SPECIAL[text]
        found = self.find_register(text)
        if found:
            return found[0]
        if text.startswith("%"):
            raise Unsupported("register " + text)
        if re.match(r"0[fF][0-9a-fA-F]{8}$", text):
            return "0x%su" % text[2:]
        if re.match(r"0[dD][0-9a-fA-F]{16}$", text):
            return "0x%sull" % text[2:]
        if re.match(r"-?(0[xX][0-9a-fA-F]+|\d+)U?$", text):
            number = int(text.rstrip("U"), 0) & ((1 << (8 * width)) - 1)
            return ("0x%xull" if width == 8 else "0x%xu") % number
        return self.symbol(text)

    def read(self, text, kind):
        """An operand as a C value of the instruction's type."""
        if kind == "pred":
            return self.value(text)
        value = self.value(text, WIDTH[kind])
        convert = {
            "f32": "ptx_f32(%s)",
            "f64": "ptx_f64(%s)",
            "f16": "vgpu_from_f16((uint16_t)%s)",
            "bf16": "vgpu_from_bf16((uint16_t)%s)",
        }
        return convert[kind] % value if kind in convert else "(%s)(%s)" % (c_integer(kind), value)

    def write(self, name, kind, expression):
        """Assign a C value of the instruction's type to a register."""
        if name == "_":
            return "(void)(%s);" % expression
        target, declared = self.register(name)
        convert = {
            "f32": "ptx_from_f32(%s)",
            "f64": "ptx_from_f64(%s)",
            "f16": "vgpu_to_f16(%s)",
            "bf16": "vgpu_to_bf16(%s)",
        }
        if kind in FLOATS:
            expression = convert[kind] % expression
        elif kind[0] == "s":  # sign-extend into a wider register
            wide = SIGNED[max(WIDTH[declared], WIDTH[kind])]
            expression = "(%s)(%s)" % (wide, expression)
        return "%s = %s;" % (target, expression)

    def address(self, text, space):
        match = ADDRESS.match(text)
        if not match:
            raise Unsupported("address " + text)
        base, offset = match[1], int(match[2], 0) if match[2] else 0
        expression = self.value(base, 8)
        if space == "shared" and base.startswith("%"):  # 32-bit arithmetic wraps
            return "((char *)(uintptr_t)(uint32_t)(%s + %d))" % (expression, offset)
        return "((char *)(uintptr_t)((uint64_t)(%s) + (int64_t)%d))" % (expression, offset)

    @staticmethod
    def elements(text):
        return split_operands(text[1:-1]) if text.startswith("{") else [text]

    # ---- statements

    def instruction(self, text):
        guard = None
        match = re.match(r"@(!?)(%\w+)\s+(.*)$", text, re.S)
        if match:
            guard = ("!" if match[1] else "") + self.target(match[2])
            text = match[3].strip()
        opcode, _, rest = text.replace("\t", " ").partition(" ")
        self.module.opcodes[opcode] = self.module.opcodes.get(opcode, 0) + 1
        code = translate(self, opcode, split_operands(rest))
        self.out.append("    if (%s) { %s }" % (guard, code) if guard else "    { %s }" % code)

    def declare_registers(self, kind, names):
        c_type = "uint8_t" if kind == "pred" else UNSIGNED.get(WIDTH[kind])
        if not c_type:
            raise Unsupported("registers of type " + kind)
        suffix = "_s%d" % self.n_scopes if len(self.scopes) > 1 else ""
        for group in split_operands(names):
            match = re.match(r"([%\w$]+)<(\d+)>$", group)
            names = [match[1] + str(i) for i in range(int(match[2]))] if match else [group]
            c_names = ["R" + c_name(name) + suffix for name in names]
            self.scopes[-1].update((n, (c, kind)) for n, c in zip(names, c_names))
            self.out.append("    %s %s;" % (c_type, ", ".join(c + " = 0" for c in c_names)))

    def declare_array(self, space, kind, name, count):
        size = WIDTH[kind] * int(count or 1)
        c = "%s%d_%s" % (space[0], self.n_scopes, c_name(name))
        self.symbols[name] = c
        if space == "shared":
            shown = re.sub(r"^\d+", "", re.sub(r".*E(\d+)", r"\1", name)) or name
            self.out.append(
                '    static const char %s_key; char *%s = vgpu_shared(&%s_key, %d, "%s");'
                % (c, c, c, size, shown)
            )
            return
        self.out.append("    _Alignas(16) char %s[%d];" % (c, size))
        if space == "local":
            self.out.append("    memset(%s, 0xff, %d);" % (c, size))

    def statement(self, text):
        if not text or text.startswith(".pragma"):
            return
        match = REGISTERS.match(text)
        if match:
            self.declare_registers(match[1], match[2])
            return
        match = ARRAY.match(text)
        if match:
            space, _, kind, name, count = match.groups()
            self.declare_array(space, kind, name, count)
            return
        self.instruction(text)

    def take_location(self, text):
        """`.loc file line column ...`: lines of the .cu file itself are kept."""
        fields = text.split()
        if fields[1] in self.module.main_files and int(fields[2]):
            self.line = int(fields[2])

    def body(self, text):
        at = 0
        while at < len(text):
            char = text[at]
            label = LABEL.match(text, at)
            if char.isspace():
                at += 1
            elif char == "{":
                self.scopes.append({})
                self.n_scopes += 1
                self.out.append("    {")
                at += 1
            elif char == "}":
                self.scopes.pop()
                self.out.append("    }")
                at += 1
            elif label:
                self.out.append(c_name(label[1]) + ":;")
                at = label.end()
            elif re.match(r"\.loc\s", text[at : at + 5]):
                end = text.index("\n", at)
                self.take_location(text[at:end])
                at = end
            else:
                end, in_quotes = at, False
                while text[end] != ";" or in_quotes:
                    in_quotes ^= text[end] == '"'
                    end += 1
                self.statement(" ".join(text[at:end].split()))
                at = end + 1

    # ---- C

    def c_signature(self):
        return "static void f_%s(char *ret, char **A)" % c_name(self.name)

    def max_threads(self):
        match = re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", self.directives)
        return int(match[1]) * int(match[2] or 1) * int(match[3] or 1) if match else 0
