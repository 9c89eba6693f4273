#!/usr/bin/env python3
"""Turns a page into a C file:   embed_page.py OUTPUT.c index.html FILE...

Style sheets and scripts that the page names and FILE has are put into it, so that it is one file. It is
cut where it says NUMBERS_OF_THE_DEVICE; explain/page_text.h declares the two pieces.
"""
import pathlib
import re
import sys

output, page, *files = sys.argv[1:]
parts = {pathlib.Path(name).name: pathlib.Path(name).read_text(encoding="utf-8") for name in files}


def style(match):
    return f"<style>\n{parts.pop(match[1])}</style>"


def script(match):
    return f"<script>\n{parts.pop(match[1])}</script>"


text = pathlib.Path(page).read_text(encoding="utf-8")
text = re.sub(r'<link rel="stylesheet" href="([^"]+)">', style, text)
text = re.sub(r'<script src="([^"]+)"></script>', script, text)
if parts:
    sys.exit(f"{page} does not name {', '.join(parts)}")
before, after = text.split("NUMBERS_OF_THE_DEVICE")
result = ['#include "explain/page_text.h"\n']
for name, piece in (("before", before), ("after", after)):
    data = piece.encode("utf-8")
    lines = ["".join(f"(char){byte}," for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    result.append(f"const char explain_{name}_text[] = {{\n" + "\n".join(lines) + "\n0};\n"
                  f"const size_t explain_{name}_length = {len(data)};\n")
pathlib.Path(output).write_text("".join(result), encoding="ascii")
