"""Output files are complete or not there, whatever happens."""
import os
import resource
import signal
import stat
import subprocess
import time

import numpy as np
import pytest
from support import assert_error, expected, heed_signals, npy_bytes, safetensors_bytes

X = np.arange(24, dtype="f4").reshape(4, 6)


def names(folder):
    return sorted(os.listdir(folder))


def test_over_the_input(run, x_file):
    assert run("layer-norm", x_file, "-o", x_file).returncode == 0
    np.testing.assert_allclose(np.load(x_file), expected(X)[0], rtol=1e-6)
    assert names(x_file.parent) == ["x.npy"]


def test_mean_over_the_input(run, x_file):
    assert run("layer-norm", x_file, "-o", "y.npy", "--mean-output", x_file).returncode == 0
    np.testing.assert_array_equal(np.load(x_file), X.mean(axis=1))


def test_permissions(run, x_file, tmp_path):
    mask = os.umask(0o027)
    try:
        assert run("layer-norm", x_file, "-o", "y.npy").returncode == 0
        (tmp_path / "z.npy").touch()
        (tmp_path / "z.npy").chmod(0o606)
        assert run("layer-norm", x_file, "-o", "z.npy").returncode == 0
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "y.npy").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "z.npy").stat().st_mode) == 0o606


def test_through_a_link(run, x_file, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/y.npy").write_bytes(b"old")
    (tmp_path / "link.npy").symlink_to("folder/y.npy")
    assert run("layer-norm", x_file, "-o", "link.npy").returncode == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(tmp_path / "folder/y.npy").shape == X.shape
    (tmp_path / "folder/y.npy").unlink()
    assert_error(run("layer-norm", x_file, "-o", "link.npy"), 2, "link.npy: ", "symbolic link")


def test_standard_output_into_a_file(run, x_file, tmp_path):
    """/dev/stdout is a link to the file, which must be replaced, not the link."""
    with open(tmp_path / "y.npy", "w", encoding="ascii") as file:
        result = run("layer-norm", x_file, "-o", "/dev/stdout", stdout=file, stderr=file,
                     capture_output=False)
    assert result.returncode == 0
    assert np.load(tmp_path / "y.npy").shape == X.shape
    assert os.path.islink("/dev/stdout")


def test_null(run, x_file, tmp_path):
    result = run("layer-norm", x_file, "-o", "/dev/null", "--mean-output", "/dev/null")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["x.npy"]


@pytest.mark.parametrize("option", ["-o", "--mean-output", "--rstd-output"])
@pytest.mark.parametrize("output,words", [
    ("no/y.npy", ["no/y.npy: ", "no folder 'no'"]),
    ("x.npy/y.npy", ["x.npy/y.npy: ", "no folder 'x.npy'"]),
    ("folder", ["folder: ", "is a folder"]),
    ("folder/", ["folder/: ", "folder"]),
    ("new/", ["new/: ", "folder"]),
    ("pipe", ["pipe: ", "no regular file"]),
    ("/dev/full", ["/dev/full: ", "no regular file"]),
    ("y" * 256, ["yyyy: ", "too long"]),
    ("", ["empty"]),
])
def test_impossible_outputs(run, x_file, tmp_path, option, output, words):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    assert_error(run("layer-norm", x_file, option, output), 2, *words)
    assert names(tmp_path) == before


@pytest.mark.parametrize("option", ["-o", "--sum-output", "--mean-output", "--rstd-output",
                                    "--scale-output"])
@pytest.mark.parametrize("output", ["model.safetensors", "model.safetensors:weight", "new.safetensors",
                                    "folder/new.safetensors:a/b:c", "model.npz", "link.npy",
                                    "back.safetensors"])
def test_files_of_several_tensors(run, x_file, tmp_path, option, output):
    """Links as a model's store has them, which lead to such files or are called so."""
    x_file.with_name("model.safetensors").write_bytes(safetensors_bytes({"weight": X}))
    np.savez(tmp_path / "model.npz", X, X)
    (tmp_path / "blob").write_bytes(b"old")
    (tmp_path / "back.safetensors").symlink_to("blob")
    (tmp_path / "link.npy").symlink_to("model.safetensors")
    (tmp_path / "folder").mkdir()
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path) if name != "folder"}
    result = run("layer-norm", x_file, "--quantize", "int8", option, output)
    assert_error(result, 2, f"{output}: ", "only npy files are written")
    assert names(tmp_path) == sorted([*before, "folder"]) and names(tmp_path / "folder") == []
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_output_with_a_type(run, x_file, tmp_path):
    assert_error(run("layer-norm", x_file, "-o", "y.npy:bf16"), 2, "y.npy:bf16: ", "':bf16'")
    assert names(tmp_path) == ["x.npy"]
    for name in ("y.safetensors.npy", "y.npy.txt:bf16", "npz"):
        assert run("layer-norm", x_file, "-o", name).returncode == 0
        assert np.load(tmp_path / name).shape == X.shape


def test_longest_name(run, x_file, tmp_path):
    assert run("layer-norm", x_file, "-o", "y" * 255).returncode == 0
    assert np.load(tmp_path / ("y" * 255)).shape == X.shape


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_forbidden_outputs(run, x_file, tmp_path):
    (tmp_path / "folder").mkdir(mode=0o500)
    assert_error(run("layer-norm", x_file, "-o", "folder/y.npy"), 2, "folder/y.npy: ")
    (tmp_path / "y.npy").write_bytes(b"old")
    (tmp_path / "y.npy").chmod(0o400)
    assert_error(run("layer-norm", x_file, "-o", "y.npy"), 2, "y.npy: ")
    assert (tmp_path / "y.npy").read_bytes() == b"old"


@pytest.mark.parametrize("first,second", [
    (("-o", "y.npy"), ("--mean-output", "y.npy")),
    (("-o", "y.npy"), ("--rstd-output", "./y.npy")),
    (("--mean-output", "folder/../y.npy"), ("--rstd-output", "y.npy")),
    (("-o", "link.npy"), ("--mean-output", "old.npy")),
])
def test_two_outputs_in_one_file(run, x_file, tmp_path, first, second):
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.npy").write_bytes(b"old")
    (tmp_path / "link.npy").symlink_to("old.npy")
    before = names(tmp_path)
    result = run("layer-norm", x_file, *first, *second)
    assert_error(result, 2, f"{second[1]}: ", first[0], second[0])
    assert names(tmp_path) == before
    assert (tmp_path / "old.npy").read_bytes() == b"old"


def test_leftover_of_a_killed_run(run, x_file, tmp_path):
    """Another file by the temporary's name is left alone."""
    def occupy():
        with open(f"{tmp_path}/.y.npy.{os.getpid()}-0.tmp", "wb") as file:
            file.write(b"other")
    assert run("layer-norm", x_file, "-o", "y.npy", preexec_fn=occupy).returncode == 0
    left = [name for name in names(tmp_path) if name.endswith(".tmp")]
    assert len(left) == 1 and (tmp_path / left[0]).read_bytes() == b"other"


# Room for what an OpenCL driver may write into its cache.
LIMIT = 16 << 20


@pytest.mark.parametrize("exists", [False, True])
def test_full_disk(run, save, tmp_path, exists):
    """A limit of the file size fails in the middle of the work, as a full disk does."""
    x = save("x", np.ones((LIMIT // 4 // 1024 + 1, 1024), "f4"))
    if exists:
        (tmp_path / "y.npy").write_bytes(b"old")
    before = names(tmp_path)
    result = run("layer-norm", x, "-o", "y.npy", "--mean-output", "mean.npy",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)))
    assert_error(result, 1, "y.npy: cannot be written")
    assert names(tmp_path) == before
    if exists:
        assert (tmp_path / "y.npy").read_bytes() == b"old"


def test_no_memory(run, tmp_path):
    """A row whose result does not fit into the memory that the program may have."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (5 << 28, 5 << 28))
    if run("--version", preexec_fn=limit).returncode != 0:
        pytest.skip("this build does not start within so little address space")
    head = npy_bytes(np.zeros((0, 4), "<f4"), 1,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (1, %d)}" % (1 << 28))
    with open(tmp_path / "x.npy", "wb") as file:
        file.write(head)
        file.truncate(len(head) + (1 << 30))
    result = run("layer-norm", "x.npy", "-o", "y.npy", "--device", "reference", preexec_fn=limit)
    assert_error(result, 1, "x.npy: out of memory")
    assert names(tmp_path) == ["x.npy"]


def test_full_standard_output(run, x_file, tmp_path):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = run("layer-norm", x_file, "--mean-output", "mean.npy", stdout=full,
                     stderr=subprocess.PIPE, capture_output=False)
    assert result.returncode == 1
    assert result.stderr.startswith("anynorm: standard output: ")
    assert names(tmp_path) == ["x.npy"]


def test_output_on_failing_parameters(run, x_file, tmp_path):
    (tmp_path / "y.npy").write_bytes(b"old")
    assert_error(run("layer-norm", x_file, "-o", "y.npy", "--bias", "b.npy"), 2, "b.npy: ")
    assert (tmp_path / "y.npy").read_bytes() == b"old"


@pytest.fixture
def long_run(program, environment, tmp_path):
    """Starts work of minutes with all outputs there are; returns the process once it writes."""
    rows = 1 << 28
    head = npy_bytes(np.zeros((0, 4), "<f4"), 1,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 4)}" % rows)
    with open(tmp_path / "x.npy", "wb") as file:
        file.write(head)
        file.truncate(len(head) + rows * 16)  # a hole: it takes no room on the disk
    (tmp_path / "y.npy").write_bytes(b"old")
    before = names(tmp_path)
    processes = []

    def start(block_bytes, **keywords):
        outputs = ["-o", "y.npy"]
        for name in ("sum", "mean", "rstd", "scale"):
            outputs += [f"--{name}-output", f"{name}.npy"]
        process = subprocess.Popen([program, "layer-norm", "x.npy", "--quantize", "int8", *outputs,
                                    "--block-bytes", str(block_bytes)],
                                   cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **keywords)
        processes.append(process)
        deadline = time.monotonic() + 60
        while len([name for name in names(tmp_path) if name.endswith(".tmp")]) < 5:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert names(tmp_path) == before
    assert (tmp_path / "y.npy").read_bytes() == b"old"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(long_run, number):
    process = long_run(4096, preexec_fn=heed_signals)
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -number


def test_ignored_signal_stays_ignored(long_run):
    process = long_run(
        4096, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)


def test_input_cut_meanwhile(long_run, tmp_path):
    process = long_run(4096)
    os.truncate(tmp_path / "x.npy", 4096)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == "" and err.startswith("anynorm: ") and len(err.splitlines()) == 1
