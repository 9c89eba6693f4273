#!/usr/bin/env python3
"""The step of the build that makes numbers of buffers constant:
test_spirv_buffers.py KERNELS GLSLANG SPIRV_DIS SPIRV_AS SPIRV_VAL
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

KERNELS, GLSLANG, DIS, AS, VAL = sys.argv[1:]
sys.path.insert(0, KERNELS)
sys.dont_write_bytecode = True
import spirv_buffers  # noqa: E402

ACCESSORS = """#version 450
layout(constant_id = 0) const uint FROM = 0;
layout(constant_id = 1) const uint TO = 1;
layout(constant_id = 2) const uint COUNT = 2;
layout(push_constant) uniform launch_t { uint from; } launch;
layout(set = 0, binding = 0) buffer words_t { float w[]; } words[COUNT];
layout(set = 0, binding = 0) buffer pairs_t { vec2 p[]; } pairs[COUNT];
float load(const uint slot, const uint at) { precise const float w = words[slot].w[at] * 3; return w; }
float twice(const uint slot, const uint at) { return load(slot, at) + pairs[slot].p[at].x; }
"""
CONSTANT = ACCESSORS + """
void main() { words[TO].w[0] = twice(FROM, 0) + twice(TO, 1) + load(FROM, 2) + twice(TO, 3); }
"""
VARIABLE = ACCESSORS + "void main() { words[TO].w[0] = twice(launch.from, 0); }"


def disassemble(source):
    with tempfile.TemporaryDirectory() as folder:
        path, module = pathlib.Path(folder, "x.comp"), pathlib.Path(folder, "x.spv")
        path.write_text(source, encoding="utf-8")
        subprocess.run([GLSLANG, "-g0", "--target-env", "vulkan1.1", "-o", module, path], check=True,
                       stdout=subprocess.DEVNULL)
        return subprocess.run([DIS, "--raw-id", "--no-indent", "--no-header", module], check=True,
                              stdout=subprocess.PIPE, text=True).stdout


def validate(text):
    with tempfile.TemporaryDirectory() as folder:
        path, module = pathlib.Path(folder, "x.txt"), pathlib.Path(folder, "x.spv")
        path.write_text(text, encoding="utf-8")
        subprocess.run([AS, "--target-env", "vulkan1.1", path, "-o", module], check=True)
        subprocess.run([VAL, "--target-env", "vulkan1.1", module], check=True)


class Test(unittest.TestCase):
    def test_a_number_passed_to_a_function_is_found(self):
        self.assertIn("not a constant", spirv_buffers.find_fault(disassemble(CONSTANT), {"Shader"}))

    def test_a_function_is_copied_for_each_buffer(self):
        text = spirv_buffers.prepare(disassemble(CONSTANT))
        validate(text)
        self.assertIsNone(spirv_buffers.find_fault(text, {"Shader"}))
        functions = [line for line in text.splitlines() if " = OpFunction " in line]
        self.assertEqual(len(functions), 5)  # main, and load and twice for either

    def test_what_must_be_exact_stays_so_in_each_copy(self):
        text = spirv_buffers.prepare(disassemble(CONSTANT))
        lines = text.splitlines()
        exact = {line.split()[1] for line in lines if line.endswith("NoContraction")}
        products = [line.split()[0] for line in lines if " = OpFMul " in line]
        self.assertEqual(len(products), 2)
        self.assertLessEqual(set(products), exact)

    def test_a_number_of_the_launch_is_refused(self):
        text = spirv_buffers.prepare(disassemble(VARIABLE))
        self.assertIn("not a constant", spirv_buffers.find_fault(text, {"Shader"}))

    def test_views_that_are_not_said_to_be_are_refused(self):
        text = spirv_buffers.prepare(disassemble(CONSTANT))
        one = next(line for line in text.splitlines() if line.endswith("Aliased"))
        self.assertIn("same memory", spirv_buffers.find_fault(text.replace(one + "\n", ""), {"Shader"}))

    def test_a_capability_that_a_device_may_lack_is_refused(self):
        text = spirv_buffers.prepare(disassemble(
            CONSTANT.replace("main() {", "main() { words[TO].w[9] = float(double(launch.from) / 3);")))
        self.assertIn("Float64", spirv_buffers.find_fault(text, {"Shader"}))
        self.assertIsNone(spirv_buffers.find_fault(text, {"Shader", "Float64"}))


unittest.main(argv=sys.argv[:1], verbosity=0)
