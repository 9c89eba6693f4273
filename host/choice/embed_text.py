#!/usr/bin/env python3
"""Turns a text into a C file:   embed_text.py INPUT OUTPUT.c HEADER NAME

HEADER declares `const char NAME_text[]` and `const size_t NAME_length`.
"""
import pathlib
import sys

source, output, header, name = sys.argv[1:]
data = pathlib.Path(source).read_bytes()
lines = ["".join(f"{byte}," for byte in data[at:at + 20]) for at in range(0, len(data), 20)]
pathlib.Path(output).write_text(f"""#include "{header}"
const char {name}_text[] = {{
{chr(10).join(lines)}
0}};
const size_t {name}_length = {len(data)};
""", encoding="ascii")
