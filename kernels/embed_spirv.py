#!/usr/bin/env python3
"""Compiles the Vulkan kernels into one C file of SPIR-V modules:
embed_spirv.py OUTPUT.c GLSLANG SPIRV_OPT SPIRV_DIS SPIRV_AS SPIRV_VAL FILE...

The line "// Variants: A B" of a FILE says with and without which words of VARIANTS it is compiled;
"A=1" is one that it always has. Every module is checked as it is embedded: by Vulkan 1.1's rules, and
that it needs no feature but those of its variant, so there is none that a driver may refuse.
"""
import concurrent.futures
import hashlib
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import spirv_buffers
import spirv_pieces

# As enum an_module_variant of host/vulkan/modules.h.
VARIANTS = {"STORAGE16": 1, "ACC_DOUBLE": 2, "SUBGROUPS": 4}
TARGET = "vulkan1.1"

# What a module of any variant may ask of a device, and one of each.
CAPABILITIES = {
    "": {"Shader"},
    "STORAGE16": {"StorageBuffer16BitAccess"},
    "ACC_DOUBLE": {"Float64"},
    "SUBGROUPS": {"GroupNonUniform", "GroupNonUniformArithmetic", "GroupNonUniformShuffle"},
}

# Functions stay what they are: drivers inline them anyway, and modules are a fifth of the size. (No
# simplification or redundancy elimination: those of 1.3.239 return values of another function's type.)
PASSES = """--strip-debug --eliminate-dead-functions --eliminate-local-single-block
--eliminate-local-single-store --ssa-rewrite --eliminate-dead-code-aggressive --merge-blocks
--compact-ids""".split()


def variants_of(path):
    """The words of each variant, and all words that make a difference."""
    match = re.search(r"^// Variants:(.*)$", path.read_text(encoding="utf-8"), re.M)
    words = match[1].split() if match else []
    always = [word[:-2] for word in words if word.endswith("=1")]
    free = [word for word in words if not word.endswith("=1")]
    for word in always + free:
        if word not in VARIANTS:
            sys.exit(f"{path}: no variant {word}")
    return [always + list(some) for count in range(len(free) + 1)
            for some in itertools.combinations(free, count)], always + free


def number_of(words):
    return sum(VARIANTS[word] for word in words)


def call(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}\n{done.stdout}")


class Build:
    def __init__(self, tools, folder):
        self.glslang, self.optimizer, self.disassembler, self.assembler, self.validator = tools
        self.folder = folder

    def file(self, path, words, end):
        return pathlib.Path(self.folder, f"{path.stem}.{number_of(words)}.{end}")

    def disassemble(self, module, text):
        call(self.disassembler, "--raw-id", "--no-indent", "--no-header", module, "-o", text)
        return text.read_text()

    def compile(self, path, words):
        """The module's disassembly."""
        plain, small, text = (self.file(path, words, end) for end in ("spv", "opt", "txt"))
        defines = [f"-D{word}={int(word in words)}" for word in VARIANTS]
        call(self.glslang, "-S", "comp", "--target-env", TARGET, f"-I{path.parent}", *defines,
             "-o", plain, path)
        call(self.optimizer, f"--target-env={TARGET}", *PASSES, plain, "-o", small)
        return spirv_buffers.prepare(self.disassemble(small, text))

    def assemble(self, path, words, disassembly):
        """The module, checked."""
        text, module = (self.file(path, words, end) for end in ("txt", "out"))
        text.write_text(disassembly)
        call(self.assembler, "--target-env", TARGET, "--preserve-numeric-ids", text, "-o", module)
        call(self.validator, "--target-env", TARGET, module)
        fault = spirv_buffers.find_fault(self.disassemble(module, text), CAPABILITIES[""].union(
            *(CAPABILITIES[word] for word in words)))
        if fault:
            raise RuntimeError(f"{path}, {' '.join(words)}: {fault}")
        return module.read_bytes()


def build_modules(tools, jobs):
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        build = Build(tools, folder)
        texts = list(pool.map(lambda job: build.compile(*job), jobs))
        texts = spirv_pieces.number_alike(texts)
        return list(pool.map(lambda job, text: build.assemble(*job, text), jobs, texts))


def table(name, values, columns):
    """A C array."""
    lines = ["".join(values[at:at + columns]) + "\n" for at in range(0, len(values), columns)]
    return f"{name} = {{\n{''.join(lines)}}};\n"


def main():
    output, *rest = sys.argv[1:]
    tools, files = rest[:5], [pathlib.Path(name).resolve() for name in rest[5:]]
    jobs = [(path, words) for path in files for words in variants_of(path)[0]]
    try:
        modules = build_modules(tools, jobs)
    except RuntimeError as error:
        sys.exit(str(error))
    pool, text, entries = spirv_pieces.Pool(), ['#include "vulkan/modules.h"\n'], []
    for index, ((path, words), code) in enumerate(zip(jobs, modules)):
        pieces = pool.pieces(spirv_pieces.words_of(code))
        text.append(table(f"static const struct an_module_piece pieces_{index}[]",
                          [f"{{{at},{count}}}," for at, count in pieces], 10))
        known = number_of(variants_of(path)[1])
        entries.append(f'    {{"{path.stem}", {number_of(words)}, {known}, pieces_{index}, '
                       f'{len(pieces)}, {len(code)}, UINT64_C(0x{hashlib.sha256(code).hexdigest()[:16]})}},')
    text.append(table("const uint32_t an_module_pool[]", [f"{word}u," for word in pool.words], 10))
    text.append(table("const struct an_module an_modules[]", entries + ["    {0, 0, 0, 0, 0, 0, 0},"], 1))
    pathlib.Path(output).write_text("".join(text), encoding="utf-8")


main()
