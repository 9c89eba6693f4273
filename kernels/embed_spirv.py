#!/usr/bin/env python3
"""Compiles the Vulkan kernels into one C file of SPIR-V modules:
embed_spirv.py OUTPUT.c GLSLANG SPIRV_OPT SPIRV_DIS SPIRV_AS SPIRV_VAL FILE...

The line "// Variants: A B" of a FILE says with and without which words of VARIANTS it is compiled;
"A=1" is one that it always has. Every module is checked as it is embedded: by Vulkan 1.1's rules, and
that it needs no feature but those of its variant, so there is none that a driver may refuse.
"""
import concurrent.futures
import itertools
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

import spirv_buffers

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


def compile_module(tools, path, words, folder):
    glslang, optimizer, disassembler, assembler, validator = tools
    number = number_of(words)
    plain, small, text, module = (pathlib.Path(folder, f"{path.stem}.{number}.{end}")
                                  for end in ("spv", "opt", "txt", "out"))
    defines = [f"-D{word}={int(word in words)}" for word in VARIANTS]
    call(glslang, "-S", "comp", "--target-env", TARGET, f"-I{path.parent}", *defines, "-o", plain, path)
    call(optimizer, f"--target-env={TARGET}", *PASSES, plain, "-o", small)
    call(disassembler, "--raw-id", "--no-indent", "--no-header", small, "-o", text)
    text.write_text(spirv_buffers.prepare(text.read_text()))
    call(assembler, "--target-env", TARGET, text, "-o", module)
    call(validator, "--target-env", TARGET, module)
    call(disassembler, "--raw-id", "--no-indent", "--no-header", module, "-o", text)
    fault = spirv_buffers.find_fault(text.read_text(), CAPABILITIES[""].union(
        *(CAPABILITIES[word] for word in words)))
    if fault:
        raise RuntimeError(f"{path}, {' '.join(words)}: {fault}")
    return path.stem, number, number_of(variants_of(path)[1]), module.read_bytes()


def main():
    output, *rest = sys.argv[1:]
    tools, files = rest[:5], [pathlib.Path(name).resolve() for name in rest[5:]]
    jobs = [(path, words) for path in files for words in variants_of(path)[0]]
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            modules = list(pool.map(lambda job: compile_module(tools, *job, folder), jobs))
        except RuntimeError as error:
            sys.exit(str(error))
    text, entries = ['#include "vulkan/modules.h"\n'], []
    for index, (name, number, known, code) in enumerate(modules):
        text.append(f"static const uint32_t module_{index}[] = {{\n")
        words = struct.unpack(f"<{len(code) // 4}I", code)
        for start in range(0, len(words), 10):
            text.append("".join(f"{word}u," for word in words[start:start + 10]) + "\n")
        text.append("};\n")
        entries.append(f'    {{"{name}", {number}, {known}, module_{index}, sizeof(module_{index})}},\n')
    text.append("const struct an_module an_modules[] = {\n" + "".join(entries) + "    {0, 0, 0, 0, 0},\n};\n")
    pathlib.Path(output).write_text("".join(text), encoding="utf-8")


main()
