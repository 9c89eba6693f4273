#!/usr/bin/env python3
"""The step of the build that makes OpenCL programs of the kernels' files: test_embed.py KERNELS"""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

EMBED = pathlib.Path(sys.argv[1], "embed.py")


def embedded(**files):
    """The program that x_cl becomes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            pathlib.Path(folder, name.replace("_", ".")).write_text(text, encoding="utf-8")
        output = pathlib.Path(folder, "out.c")
        subprocess.run([sys.executable, EMBED, output, pathlib.Path(folder, "x.cl")], check=True)
        body = re.search(r"source_0\[\] = \{\n(.*?)\n0\};", output.read_text(), re.S)[1]
    return bytes(int(number) for number in re.findall(r"\d+", body)).decode("utf-8")


class Test(unittest.TestCase):
    def test_files_are_joined(self):
        text = embedded(x_cl='#include "a.clh"\n#include "a.clh"\n#include "b.def"\n#include "b.def"\n',
                        a_clh="int a;\n", b_def="int b;\n")
        self.assertEqual(text, "int a;\nint b;\nint b;\n")

    def test_comments_and_indentation_go(self):
        text = embedded(x_cl="/* One. */\nint  a; // two\n\n\tint/**/b /* three\n   four */ = 1;\n")
        self.assertEqual(text, "int a;\nint b = 1;\n")

    def test_strings_stay(self):
        text = embedded(x_cl='x("a  /* b */ \\" // c",   "d");\n#pragma  e  "//"\n')
        self.assertEqual(text, 'x("a  /* b */ \\" // c", "d");\n#pragma e "//"\n')

    def test_lines_that_go_on_do(self):
        text = embedded(x_cl="#define A(x)      \\\n    /* why */     \\\n    ((x) + 1)\nint a;\n")
        self.assertEqual(text, "#define A(x) \\\n\\\n((x) + 1)\nint a;\n")


unittest.main(argv=sys.argv[:1], verbosity=0)
