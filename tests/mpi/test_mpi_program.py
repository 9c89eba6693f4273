"""anynorm-mpi on one machine: its files beside those of anynorm, bit for bit, and how it fails.

$ANYNORM_PROGRAM and $ANYNORM_MPI_PROGRAM are the two, $ANYNORM_DEVICE the device, and $MPIRUN, or else mpirun, starts them."""
import os
import pathlib
import shlex
import signal
import subprocess
import time

import numpy as np
import pytest

from terminal import on_terminal  # of tests/cli

ALONE = os.environ["ANYNORM_PROGRAM"]
RANKS = os.environ["ANYNORM_MPI_PROGRAM"]
MPIRUN = [os.environ.get("MPIRUN", "mpirun")]
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_btl_base_warn_component_unused="0", POCL_MAX_PTHREAD_COUNT="1")


def is_open_mpi():
    said = subprocess.run([*MPIRUN, "--version"], capture_output=True, text=True).stdout
    return "Open MPI" in said or "open-mpi" in said


if is_open_mpi():  # MPICH's starts as many as it is told
    MPIRUN += ["--oversubscribe"]


def alone(*arguments):
    done = subprocess.run([ALONE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def start(count, *arguments):
    return subprocess.Popen([*MPIRUN, "-n", str(count), RANKS, *arguments], env=ENVIRONMENT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ranks(count, *arguments):
    run = start(count, *arguments)
    try:
        run.stdout_text, run.stderr_text = run.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        run.kill()
        raise
    return run


def ranks_by_shell(count, program):
    """A command line of the shell on each rank, whose number is $rank."""
    run = subprocess.run([*MPIRUN, "-n", str(count), "sh", "-c",
                          'rank="${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"; ' + program],
                         env=ENVIRONMENT, text=True, capture_output=True, timeout=60)
    run.stderr_text = run.stderr
    return run


def ours(run):
    """The lines that are anynorm's own, and not mpirun's about a status."""
    return [line for line in run.stderr_text.splitlines() if line.startswith("anynorm")]


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(7)

    def make(name, *shape, kind="f4"):
        path = tmp_path / f"{name}.npy"
        np.save(path, (random.standard_normal(shape) + 3).astype(kind))
        return str(path)

    make.folder = tmp_path
    make("x", 60, 5, 37)
    make("half", 300, 64, kind="f2")
    make("w", 37)
    make("b", 37)
    make("images", 7, 12, 5, 3)
    make("residual", 60, 5, 37)
    make("dy", 60, 5, 37)
    make("scale", 60, 37)
    make("samples", 60, 1, 37)
    make("dhalf", 300, 64, kind="f2")
    make("whalf", 64, kind="f2")
    make("wide", 2003, 300)
    make("wwide", 300)
    make("dimages", 7, 12, 5, 3)
    make("wchannels", 12)
    make("doubles", 301, 37, kind="f8")
    make.path = lambda name: str(tmp_path / f"{name}.npy")
    return make


FORWARD = [
    ["layer-norm", "x", "--weight", "w", "--bias", "b", "--mean-output", "@mean", "--rstd-output", "@rstd"],
    ["rms-norm", "x", "--weight", "w", "--residual", "residual", "--sum-output", "@sum"],
    ["layer-norm", "half", "--quantize", "int8", "--scale-output", "@scales"],
    ["group-norm", "images", "--groups", "4"],
    ["group-norm", "images", "--groups", "3", "--layout", "nhwc"],
    ["instance-norm", "images"],
    ["layer-norm", "x", "--scale", "scale", "--block-bytes", "4096"],
    ["layer-norm", "x", "--backward", "dy", "--weight", "w"],
    ["layer-norm", "x", "--backward", "dy", "--weight", "w", "--dweight-output", "@dweight", "--dbias-output",
     "@dbias", "--bias", "b", "--block-bytes", "4096"],
    ["layer-norm", "x", "--backward", "dy", "--scale", "scale", "--dscale-output", "@dscale"],
    ["layer-norm", "x", "--backward", "dy", "--scale", "samples", "--dscale-output", "@dscale", "--weight", "w",
     "--dweight-output", "@dweight"],
    ["rms-norm", "half", "--backward", "dhalf", "--weight", "whalf", "--dweight-output", "@dweight", "--pre-bias",
     "whalf", "--dpre-bias-output", "@dpre"],
    ["rms-norm", "wide", "--backward", "wide", "--weight", "wwide", "--dweight-output", "@dweight", "-o",
     "/dev/null", "--block-bytes", "100000"],
    ["group-norm", "images", "--backward", "dimages", "--groups", "4", "--weight", "wchannels", "--dweight-output",
     "@dweight"],
    ["layer-norm", "doubles", "--backward", "doubles", "--weight", "w", "--dweight-output", "@dweight",
     "--bias", "b", "--dbias-output", "@dbias"],
]


def placed(files, words, folder):
    """The arguments with names made into paths, `@` being those that are written."""
    given = [words[0]]
    for word in words[1:]:
        if word.startswith("@"):
            given.append(str(folder / (word[1:] + ".npy")))
        else:
            path = files.path(word)
            given.append(path if os.path.exists(path) else word)
    return given + ([] if "-o" in words else ["-o", str(folder / "y.npy")])


@pytest.mark.parametrize("words", FORWARD, ids=lambda words: " ".join(words))
def test_bits_of_one_process(files, words, request):
    want = files.folder / "want"
    want.mkdir()
    alone(*placed(files, words, want))
    for count in map(int, request.config.getoption("--ranks").split(",")):
        got = files.folder / f"got{count}"
        got.mkdir()
        run = ranks(count, *placed(files, words, got))
        assert run.returncode == 0, run.stderr_text
        assert sorted(path.name for path in got.iterdir()) == sorted(path.name for path in want.iterdir())
        for path in want.iterdir():
            assert (got / path.name).read_bytes() == path.read_bytes(), (count, path.name)


def of_columns(files, folder, count, *words):
    """What --shard columns writes, with the names of the files, for a number of ranks."""
    folder = files.folder / folder
    folder.mkdir()
    run = ranks(count, *placed(files, list(words), folder), "--shard", "columns")
    assert run.returncode == 0, run.stderr_text
    return {path.name: np.load(path) for path in sorted(folder.iterdir())}


COLUMNS = [
    ["layer-norm", "x", "--weight", "w", "--bias", "b", "--mean-output", "@mean", "--rstd-output", "@rstd",
     "--correction", "1"],
    ["rms-norm", "x", "--weight", "w", "--residual", "residual", "--sum-output", "@sum", "--pre-bias", "b"],
    ["layer-norm", "x", "--axis", "1", "--scale", "samples", "--activation", "silu"],
    ["layer-norm", "x", "--scale", "scale", "--weight", "residual"],
    ["rms-norm", "half", "--quantize", "int8", "--quantize-scale", "0.02"],
]


@pytest.mark.parametrize("words", COLUMNS, ids=lambda words: " ".join(words))
def test_columns(files, words, request):
    """Near one process, by the bound of shards (the mean is about 3); and with the bits of any size of block."""
    want = files.folder / "want"
    want.mkdir()
    alone(*placed(files, words, want))
    counts = [count for count in map(int, request.config.getoption("--ranks").split(",")) if count < 7]
    for count in counts:
        got = of_columns(files, f"got{count}", count, *words)
        assert sorted(got) == sorted(path.name for path in want.iterdir())
        for name, value in got.items():
            expected = np.load(want / name)
            assert value.dtype == expected.dtype and value.shape == expected.shape
            if value.dtype.kind == "i":  # a code's neighbour
                assert np.abs(value.astype(int) - expected).max() <= 1
            else:
                np.testing.assert_allclose(value, expected, rtol=4e-6, atol=4e-6, err_msg=f"{count} {name}")
    again = of_columns(files, "again", counts[-1], *words, "--block-bytes", "700")
    for name, value in got.items():
        assert again[name].tobytes() == value.tobytes(), name


def test_columns_of_no_rows(files):
    path = files("none", 0, 8)
    assert ranks(2, "layer-norm", path, "-o", files.path("got"), "--shard", "columns").returncode == 0
    assert np.load(files.path("got")).shape == (0, 8)


@pytest.mark.parametrize("failing, options", [
    (1, "--shard columns"),
    (1, "--backward X --weight W --dweight-output S"),
    (2, "--backward X --weight W --dweight-output S"),
], ids=lambda value: str(value))
def test_what_cannot_be_written(files, failing, options):
    """A rank may not write as far as it must, in the midst of all: all end, by its line. The last one has the
    sums of others to wait for."""
    np.lib.format.open_memmap(files.path("large"), "w+", "f4", (5000, 4096)).flush()
    options = options.replace("X", files.path("large")).replace("W", files("wlarge", 4096)).replace(
        "S", files.path("sums"))
    put_old(files)
    run = ranks_by_shell(3, f'if [ "$rank" = {failing} ]; then ulimit -f {30000 + 20000 * failing}; fi; '
                            f'exec {RANKS} layer-norm {files.path("large")} -o {files.path("y")} {options} '
                            '--block-bytes 2000000')
    assert_fails(run, 1, "output")
    assert_old_is_left(files)
    assert not os.path.exists(files.path("sums"))


def test_no_rows(files):
    path = files("none", 0, 8)
    alone("layer-norm", path, "-o", files.path("want"))
    assert ranks(3, "layer-norm", path, "-o", files.path("got")).returncode == 0
    assert pathlib.Path(files.path("got")).read_bytes() == pathlib.Path(files.path("want")).read_bytes()


@pytest.mark.parametrize("shard", ["rows", "columns"])
def test_timing(files, shard):
    run = ranks(2, "layer-norm", files.path("x"), "-o", "/dev/null", "--timing", "--shard", shard)
    assert run.returncode == 0
    lines = run.stderr_text.splitlines()
    assert [line.split()[0] for line in lines if line.split()[0] in
            ("ranks", "shape", "normalize", "total")] == ["ranks", "shape", "normalize", "total"]


@pytest.mark.parametrize("options", ["", "--shard columns", "--backward X --weight W --dweight-output S"])
def test_one_bar_of_all_ranks(files, options):
    """With ever smaller blocks, until the work lasts long enough for a bar. One is erased, and it got so far as
    no rank does by itself. Behind a pipe that goes elsewhere there is none."""
    x = files.path("many")
    np.lib.format.open_memmap(x, "w+", "f4", (1 << 21, 16)).flush()
    options = options.replace("X", x).replace("W", files("wmany", 16)).replace("S", files.path("sums"))
    for block_bytes in (1 << 15, 1 << 13, 1 << 11, 1 << 9):
        command = shlex.join([*MPIRUN, "-n", "3", RANKS, "layer-norm", x, "-o", "/dev/null"])
        command += f" {options} --block-bytes {block_bytes}"
        text = on_terminal(["sh", "-c", command], ENVIRONMENT)
        if text.count(b"%") > 3:  # more than a single look
            parts = [int(part.split()[-1]) for part in text.split(b"%")[:-1]]
            assert parts == sorted(parts) and parts[-1] > 50, text
            assert text.startswith(b"\r[") and text.endswith(b"\r\x1b[K") and text.count(b"\x1b[K") == 1
            assert on_terminal(["sh", "-c", command + " 2>&1 | cat >&2"], ENVIRONMENT) == b""
            return
    pytest.skip("this machine was done before a bar is due")


def test_help():
    run = ranks(2, "--help")
    assert run.returncode == 0 and run.stdout_text.count("usage:") == 1
    run = ranks(2, "layer-norm", "--help")
    assert run.returncode == 0 and run.stdout_text.count("usage:") == 1


def unfinished(files):
    return [path for path in files.folder.iterdir() if path.name.endswith(".tmp")]


def put_old(files):
    """An output of before."""
    pathlib.Path(files.path("y")).write_bytes(b"old")


def assert_old_is_left(files):
    assert pathlib.Path(files.path("y")).read_bytes() == b"old"
    assert not unfinished(files)


def assert_fails(run, status, text):
    """One line of ours, whatever the number of ranks."""
    assert run.returncode == status, run.stderr_text
    assert len(ours(run)) == 1 and text in ours(run)[0], run.stderr_text


@pytest.mark.parametrize("arguments, text", [
    ([], "COMMAND"),
    (["batch-norm"], "batch-norm"),
    (["layer-norm"], "INPUT"),
    (["layer-norm", "X", "--nonsense"], "--nonsense"),
    (["layer-norm", "X"], "OUTPUT: missing"),
    (["layer-norm", "X", "-o", "Y", "--stats"], "--stats"),
    (["layer-norm", "/nonexistent/x.npy", "-o", "Y"], "/nonexistent/x.npy"),
    (["layer-norm", "X", "-o", "/nonexistent/y.npy"], "/nonexistent"),
    (["layer-norm", "X", "-o", "Y", "--device", "nothing:9"], "nothing:9"),
    (["layer-norm", "X", "-o", "Y", "--shard", "rows of"], "--shard"),
    (["layer-norm", "X", "-o", "Y", "--shard", "columns", "--backward", "X"], "--backward"),
    (["instance-norm", "X", "-o", "Y", "--shard", "columns"], "layer-norm and rms-norm"),
    (["rms-norm", "X", "-o", "Y", "--shard", "columns", "--rstd", "R"], "--rstd"),
    (["layer-norm", "X", "-o", "Y", "--shard", "columns", "--quantize", "int8", "--scale-output", "S"],
     "--scale-output"),
    (["layer-norm", "N", "-o", "Y", "--shard", "columns"], "fewer than the 3 ranks"),
])
def test_misuse_is_one_line(files, arguments, text):
    places = {"X": files.path("x"), "Y": files.path("y"), "N": files("narrow", 5, 2), "R": files("rstd", 60, 5),
              "S": files.path("scales")}
    assert_fails(ranks(3, *(places.get(word, word) for word in arguments)), 2, text)
    assert not os.path.exists(files.path("y"))


def test_what_fails_on_one_rank_ends_all(files):
    """A rank of its own sees a file that is cut."""
    good = pathlib.Path(files.path("x")).read_bytes()
    put_old(files)
    cut = files.path("cut")
    pathlib.Path(cut).write_bytes(good[:-4])
    run = ranks_by_shell(3, f'if [ "$rank" = 1 ]; then x={cut}; else x={files.path("x")}; fi; '
                            f'exec {RANKS} layer-norm "$x" -o {files.path("y")}')
    assert_fails(run, 2, "cut.npy")
    assert_old_is_left(files)


def test_mixed_devices_of_sums(files):
    """The reference device sums over rows in blocks of its own; what each row has for itself may be mixed."""
    if os.environ["ANYNORM_DEVICE"] == "reference":
        pytest.skip("there is no other device")
    start_mixed = 'if [ "$rank" = 1 ]; then export ANYNORM_DEVICE=reference; fi; ' \
                  f'exec {RANKS} layer-norm {files.path("x")} --weight {files.path("w")} -o {files.path("y")}'
    backward = start_mixed + f' --backward {files.path("dy")}'
    assert_fails(ranks_by_shell(2, backward + f' --dweight-output {files.path("sums")}'), 2, "reference")
    assert not os.path.exists(files.path("y"))
    for command in start_mixed, backward:
        run = ranks_by_shell(2, command)
        assert run.returncode == 0 and len(ours(run)) == 1 and "last bits" in ours(run)[0], run.stderr_text


def find_ranks(path):
    """The processes of a run with such an argument: {process: its parent and rank}."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            folder = pathlib.Path("/proc") / str(int(entry))
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            environment = dict(line.partition(b"=")[::2] for line in (folder / "environ").read_bytes().split(b"\0"))
        except (ValueError, OSError):
            continue
        if words and words[0] == RANKS.encode() and path.encode() in words:
            found[int(entry)] = parent, int(environment.get(b"OMPI_COMM_WORLD_RANK", environment.get(b"PMI_RANK", -1)))
    return found


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_rank_ends_all(files, killed):
    """Where rank 0 is killed, or a launcher then kills the others, the process beside rank 0 cleans up."""
    big = files.path("big")
    np.lib.format.open_memmap(big, "w+", "f4", (400000, 768)).flush()
    put_old(files)
    run = start(2, "layer-norm", big, "-o", files.path("y"), "--block-bytes", "65536")
    deadline = time.monotonic() + 20
    while not [path for path in unfinished(files) if path.stat().st_size > 1000]:  # rows are written
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    found = find_ranks(big)
    os.kill(next(process for process, (parent, rank) in found.items() if parent not in found and rank == killed),
            signal.SIGKILL)
    deadline = time.monotonic() + 10
    run.communicate(timeout=10)
    assert run.returncode != 0
    while find_ranks(big) or unfinished(files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert_old_is_left(files)
