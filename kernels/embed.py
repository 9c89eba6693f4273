#!/usr/bin/env python3
"""Turns kernel files into one C file of byte arrays: embed.py OUTPUT.c FILE...

Each FILE becomes one program: its #include "..." lines are replaced by the files they name (searched
beside the includer, then in the folder above), .clh files once, .def files each time. OpenCL drivers
disagree on include paths, so the library hands them whole programs; without comments and indentation,
which are a third of them.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"\s*$')

# What a line may have that is not its words; a string is taken whole, as it may look like either.
SPACE = re.compile(r'("(?:\\.|[^"\\\n])*")|(?:/\*.*?\*/|//[^\n]*|[ \t])+', re.S)


def flatten(path, seen):
    if path.suffix == ".clh":
        if path in seen:
            return ""
        seen.add(path)
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = INCLUDE.match(line)
        if not match:
            lines.append(line + "\n")
            continue
        name = match.group(1)
        for folder in (path.parent, path.parent.parent):
            if (folder / name).is_file():
                lines.append(flatten((folder / name).resolve(), seen))
                break
        else:
            sys.exit(f"{path}: cannot find {name}")
    return "".join(lines)


def squeeze(text):
    text = SPACE.sub(lambda match: match[1] or " ", text)
    return "".join(line.strip() + "\n" for line in text.split("\n") if line.strip())


def main():
    output, *files = sys.argv[1:]
    text = ['#include "opencl/sources.h"\n']
    entries = []
    for index, name in enumerate(files):
        path = pathlib.Path(name).resolve()
        source = squeeze(flatten(path, set())).encode("utf-8")
        text.append(f"static const char source_{index}[] = {{\n")
        for start in range(0, len(source), 20):
            text.append("".join(f"{byte}," for byte in source[start:start + 20]) + "\n")
        text.append("0};\n")
        entries.append(f'    {{"{path.stem}", source_{index}, {len(source)}}},\n')
    text.append("const struct an_source an_sources[] = {\n" + "".join(entries) + "    {0, 0, 0},\n};\n")
    pathlib.Path(output).write_text("".join(text), encoding="utf-8")


main()
