#!/usr/bin/env python3
"""Turns a page into a C file:   embed_page.py NAME OUTPUT.c index.html FILE...

Style sheets and scripts that the page names and FILE has are put into it, so that it is one file. It is
cut where it says NUMBERS_OF_THE_DEVICE; pages/page.h declares the result, page_of_NAME.
"""
import pathlib
import re
import sys

name, output, page, *files = sys.argv[1:]
parts = {pathlib.Path(file).name: pathlib.Path(file).read_text(encoding="utf-8") for file in files}


def style(match):
    return f"<style>\n{parts.pop(match[1])}</style>"


def script(match):
    return f"<script>\n{parts.pop(match[1])}</script>"


text = pathlib.Path(page).read_text(encoding="utf-8")
text = re.sub(r'<link rel="stylesheet" href="([^"]+)">', style, text)
text = re.sub(r'<script src="([^"]+)"></script>', script, text)
if parts:
    sys.exit(f"{page} does not name {', '.join(parts)}")
pieces = [piece.encode("utf-8") for piece in text.split("NUMBERS_OF_THE_DEVICE")]
result = ['#include "pages/page.h"\n']
for place, data in zip(("before", "after"), pieces, strict=True):
    lines = ["".join(f"(char){byte}," for byte in data[at:at + 16]) for at in range(0, len(data), 16)]
    result.append(f"static const char {place}[] = {{\n" + "\n".join(lines) + "\n0};\n")
before, after = map(len, pieces)
result.append(f"const struct page_text page_of_{name} = {{before, {before}, after, {after}}};\n")
pathlib.Path(output).write_text("".join(result), encoding="ascii")
