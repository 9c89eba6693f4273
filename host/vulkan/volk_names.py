"""Writes a header that puts an_ before the names of volk's pointers and functions.

    volk_names.py OUTPUT COMPILER...

A program that links the library statically may have libvulkan's functions, or a volk of its own, by
the same names.
"""
import re
import subprocess
import sys

output, compiler = sys.argv[1], sys.argv[2:]
text = subprocess.run(compiler + ["-E", "-x", "c", "-"], input="#include <volk.h>\n",
                      stdout=subprocess.PIPE, text=True, check=True).stdout
names = set(re.findall(r"^extern PFN_\w+ (vk\w+);", text, re.M))
if len(names) < 100:
    sys.exit("volk_names.py: volk.h does not look as it did")
names |= set(re.findall(r"\b(volk[A-Z]\w*)\(", text))
with open(output, "w") as file:
    for name in sorted(names):
        print(f"#define {name} an_{name}", file=file)
