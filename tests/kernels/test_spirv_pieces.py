#!/usr/bin/env python3
"""The step of the build that keeps once what modules have in common:
test_spirv_pieces.py KERNELS GLSLANG SPIRV_DIS SPIRV_AS SPIRV_VAL
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

KERNELS, GLSLANG, DIS, AS, VAL = sys.argv[1:]
sys.path.insert(0, KERNELS)
sys.dont_write_bytecode = True
import spirv_buffers  # noqa: E402
import spirv_pieces  # noqa: E402

# The first function differs, and with it all ids behind it; the others are the same.
SOURCE = """#version 450
layout(constant_id = 0) const uint COUNT = 2;
layout(set = 0, binding = 0) buffer words_t { float w[]; } words[COUNT];
float first(const float x) { %s }
float second(const float x) { precise const float y = x * 3; return first(y) + 1; }
float third(const float x) { return second(x) / second(x + 1); }
void main() { words[0].w[0] = third(words[1].w[1]); }
"""
BODIES = ["return x;", "return x * x + 7;", "double y = double(x) / 3; return float(y * y);"]


def disassemble(body):
    with tempfile.TemporaryDirectory() as folder:
        path, module = pathlib.Path(folder, "x.comp"), pathlib.Path(folder, "x.spv")
        path.write_text(SOURCE % body, encoding="utf-8")
        subprocess.run([GLSLANG, "-g0", "--target-env", "vulkan1.1", "-o", module, path], check=True,
                       stdout=subprocess.DEVNULL)
        text = subprocess.run([DIS, "--raw-id", "--no-indent", "--no-header", module], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        return spirv_buffers.prepare(text)


def assemble(text):
    with tempfile.TemporaryDirectory() as folder:
        path, module = pathlib.Path(folder, "x.txt"), pathlib.Path(folder, "x.spv")
        path.write_text(text, encoding="utf-8")
        subprocess.run([AS, "--target-env", "vulkan1.1", "--preserve-numeric-ids", path, "-o", module],
                       check=True)
        subprocess.run([VAL, "--target-env", "vulkan1.1", module], check=True)
        return module.read_bytes()


def functions(text):
    return {tuple(function.lines) for function in spirv_buffers.Module(text).functions.values()}


class Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = [disassemble(body) for body in BODIES]
        cls.numbered = spirv_pieces.number_alike(cls.texts)

    def test_modules_stay_what_they_are(self):
        for old, new in zip(self.texts, self.numbered):
            assemble(new)
            ids = list(zip(spirv_buffers.ID.findall(old), spirv_buffers.ID.findall(new)))
            self.assertEqual(len(set(ids)), len({before for before, _ in ids}))
            self.assertEqual(len(set(ids)), len({after for _, after in ids}))
            self.assertEqual(spirv_buffers.ID.sub("", old), spirv_buffers.ID.sub("", new))

    def test_what_is_the_same_has_the_same_ids(self):
        self.assertEqual(len(functions(self.texts[0]) & functions(self.texts[2])), 0)
        for other in self.numbered[1:]:
            self.assertGreaterEqual(len(functions(self.numbered[0]) & functions(other)), 2)

    def test_what_is_in_no_module_together_may_share_ids(self):
        most = max(spirv_buffers.Module(text).bound for text in self.texts)
        for text in self.numbered:
            self.assertLessEqual(spirv_buffers.Module(text).bound, most * 1.1)

    def test_modules_are_their_pieces(self):
        pool, whole = spirv_pieces.Pool(), 0
        for text in self.numbered:
            words = spirv_pieces.words_of(assemble(text))
            pieces = pool.pieces(words)
            self.assertEqual([word for at, count in pieces for word in pool.words[at:at + count]],
                             list(words))
            whole += len(words)
        self.assertLess(len(pool.words), whole * 0.8)

    def test_any_words_are_their_pieces(self):
        numbers = random.Random(1)
        for _ in range(200):
            pool, parts = spirv_pieces.Pool(), [
                tuple(numbers.randrange(3) for _ in range(numbers.randrange(40))) for _ in range(4)]
            for _ in range(6):
                words = sum(numbers.choices(parts, k=numbers.randrange(6)), ())
                pieces = pool.pieces(words)
                self.assertEqual([word for at, count in pieces for word in pool.words[at:at + count]],
                                 list(words))

    def test_the_lowest_gap_is_that(self):
        numbers = random.Random(2)
        for _ in range(2000):
            taken, count = numbers.getrandbits(numbers.randrange(1, 24)), numbers.randrange(1, 6)
            at = 0
            while taken >> at & (1 << count) - 1:
                at += 1
            self.assertEqual(spirv_pieces.lowest_gap(taken, count), at)


unittest.main(argv=sys.argv[:1], verbosity=0)
