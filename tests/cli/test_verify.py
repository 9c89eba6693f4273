"""anynorm verify: what it prints, and that it finds a wrong kernel."""
import os
import re
import shutil
import subprocess

import pytest

from support import assert_error

LINE = re.compile(r"^(\w+) +(f32|f16|bf16|f64) +(\d+) +(\S+) +(\S+)  (.*)$")


def table(result):
    """The rows of the table as (schedule, type, cases, error, bound, verdict)."""
    lines = result.stdout.splitlines()
    assert lines[1].split()[:3] == ["SCHEDULE", "TYPE", "CASES"]
    rows = [LINE.match(line) for line in lines[2:]]
    assert rows and all(rows), result.stdout
    return [row.groups() for row in rows]


def test_quick_passes(run, device):
    result = run("verify", "--quick")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(device["id"] + ": ")
    rows = table(result)
    schedules = {row[0] for row in rows}
    if device["class"] == "reference":
        assert schedules == {"reference"}
    else:
        assert schedules == {"row_per_item", "row_per_group", "row_reread"}
    for _, kind, cases, error, bound, verdict in rows:
        assert verdict == "pass"
        assert int(cases) > 0
        assert float(error) <= float(bound) == (0.6 if kind in ("f16", "bf16") else 8)


def test_one_case(run):
    result = run("verify", "--case", "layer-norm 5x300 f16 weight bias rstd eps=1e-3")
    assert (result.returncode, result.stderr) == (0, "")
    assert {row[1] for row in table(result)} == {"f16"}


@pytest.mark.parametrize("text, words", [
    ("layer-norm 5x0", ["columns"]),
    ("layer-norm 5x300 f8", ["f8"]),
    ("rms-norm 5x300", ["rms-norm"]),
    ("layer-norm 5x300 x-stride=301", ["dense"]),
    ("layer-norm 0x300", ["rows"]),
    ("", ["empty"]),
])
def test_bad_case(run, text, words):
    result = run("verify", "--case", text)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("anynorm: --case: ")
    assert all(word in lines[0] for word in words)


def test_unknown_device(run):
    assert_error(run("verify", "--device", "opencl:99"), 2, "opencl:99")


def test_operand_is_refused(run):
    assert_error(run("verify", "x.npy"), 2, "x.npy")


# A libOpenCL that hands the driver a slightly wrong kernel and leaves all else to the real one.
SHIM = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
void *clCreateProgramWithSource(void *context, unsigned count, const char **texts,
                                const size_t *lengths, int *code)
{
    static const char right[] = "* s->rstd -", wrong[] = "* 1.00001f * s->rstd -";
    void *(*next)(void *, unsigned, const char **, const size_t *, int *);
    *(void **)&next = dlsym(dlopen(getenv("REAL_OPENCL"), RTLD_NOW), "clCreateProgramWithSource");
    char *text = calloc(1, lengths[0] * 2), *to = text;
    const char *from = texts[0], *end = from + lengths[0];
    (void)count;
    while (from < end) {
        if (!strncmp(from, right, sizeof right - 1)) {
            memcpy(to, wrong, sizeof wrong - 1);
            to += sizeof wrong - 1;
            from += sizeof right - 1;
        } else {
            *to++ = *from++;
        }
    }
    const char *changed = text;
    size_t length = (size_t)(to - text);
    return next(context, 1, &changed, &length, code);
}
"""


def real_opencl():
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"):
        path = os.path.join(folder, "libOpenCL.so.1")
        if os.path.exists(path):
            return path
    return None


def test_wrong_kernel_is_found(run, device, tmp_path):
    real = real_opencl()
    if device["class"] == "reference" or not real or not shutil.which("gcc"):
        pytest.skip("needs an OpenCL device, its loader and a compiler")
    source = tmp_path / "shim.c"
    source.write_text(SHIM)
    # Linked against a stand-in of that name, which is the real library by the time it is run: were
    # the real one linked, the loader would look for its own name and find the shim.
    (tmp_path / "empty.c").write_text("int nothing;\n")
    stand_in = tmp_path / "libReal.so"
    subprocess.run(["gcc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", stand_in,
                    "-Wl,-soname,libReal.so"], check=True)
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", tmp_path / "libOpenCL.so.1",
                    "-Wl,--no-as-needed", stand_in, "-ldl"], check=True)
    stand_in.unlink()
    stand_in.symlink_to(real)
    result = run("verify", "--quick", "--device", device["id"],
                 env={"LD_LIBRARY_PATH": str(tmp_path), "REAL_OPENCL": str(stand_in)})
    assert result.returncode == 1, result
    rows = table(result)
    assert {row[5] for row in rows if row[1] == "f32"} == {"FAIL"}
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"anynorm: {device['id']}: wrong results; first in ")
    assert "layer-norm" in lines[0] and "f32" in lines[0]
