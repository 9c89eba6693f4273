"""Commands, options, help and the environment."""
import pytest
from support import assert_error

NORMS = ["layer-norm", "rms-norm", "group-norm", "instance-norm", "batch-norm"]
COMMANDS = ["devices", *NORMS, "verify", "bench", "tune"]


def test_version(run):
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    name, version = result.stdout.split()
    assert name == "anynorm" and version[0].isdigit()


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(run, option):
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize("command", ["devices", *NORMS, "bench"])
def test_help_of_a_command(run, command):
    result = run(command, "--nonsense", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: anynorm {command}")
    assert "--help" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 110


def test_no_command(run):
    assert_error(run(), 2, "COMMAND", *COMMANDS)


def test_unknown_command(run):
    assert_error(run("layernorm"), 2, "layernorm", *COMMANDS)


@pytest.mark.parametrize("option", ["--epsilon", "--ep", "--eps2=1", "-x", "-", "--dtypes"])
def test_unknown_option(run, x_file, option):
    result = run("layer-norm", x_file, option)
    if option == "-":
        assert_error(result, 2, "-: one INPUT only")
    else:
        assert_error(result, 2, option, "--eps", "--weight", "-o", "--dtype", "--help")


@pytest.mark.parametrize("command,options", [
    ("rms-norm", ["--mean", "--mean-output", "--correction", "--groups", "--layout"]),
    ("layer-norm", ["--groups", "--layout", "--l2"]),
    ("group-norm", ["--l2", "--axis", "--gate", "--scale", "--shift"]),
    ("instance-norm", ["--l2", "--axis", "--gate", "--scale", "--shift", "--groups", "--training"]),
    ("batch-norm", ["--l2", "--axis", "--groups", "--correction", "--block-bytes"])])
def test_options_of_other_norms(run, x_file, command, options):
    text = run(command, "--help").stdout
    for option in options:
        assert f" {option} " not in text
        assert_error(run(command, x_file, option, "1"), 2, option, f"anynorm {command}", "--eps")


def test_unknown_option_of_devices(run):
    assert_error(run("devices", "--jason"), 2, "--jason", "--json")


def test_superfluous_operands(run, x_file):
    assert_error(run("devices", "gpu"), 2, "gpu: anynorm devices")
    assert_error(run("layer-norm", x_file, "other.npy"), 2, "other.npy", x_file)


@pytest.mark.parametrize("operand", [[], [""], ["--"], ["--stats"]])
def test_missing_input(run, operand):
    assert_error(run("layer-norm", *operand), 2, "INPUT")


@pytest.mark.parametrize("arguments,named", [
    (["--eps", "0", "--eps", "1"], "--eps"), (["--eps=0", "--eps=0"], "--eps"),
    (["-o", "a", "--output", "b"], "--output"), (["--stats", "--stats"], "--stats")])
def test_twice(run, x_file, arguments, named):
    assert_error(run("layer-norm", x_file, *arguments), 2, f"{named}: given twice")


@pytest.mark.parametrize("arguments", [["--eps"], ["-o"], ["--weight", "--stats"]])
def test_value_missing(run, x_file, arguments):
    assert_error(run("layer-norm", x_file, *arguments), 2, arguments[0], "missing")


def test_value_of_a_flag(run, x_file):
    assert_error(run("layer-norm", x_file, "--stats=yes"), 2, "--stats", "yes")


@pytest.mark.parametrize("eps", ["-1e-5", "-1", "nan", "-nan", "inf", "1e999", "1e-999", "", " 1",
                                 "1 ", "1e-5x", "1,5", "--"])
def test_bad_eps(run, x_file, eps):
    assert_error(run("layer-norm", x_file, f"--eps={eps}"), 2, "--eps")
    if not eps.startswith("--"):
        assert_error(run("layer-norm", x_file, "--eps", eps), 2, "--eps")


@pytest.mark.parametrize("eps", ["0", "1e-310", "1E-3", ".5", "-0"])
def test_good_eps(run, x_file, eps):
    assert run("layer-norm", x_file, "--eps", eps).returncode == 0


@pytest.mark.parametrize("axis", ["2", "-3", "99", "-99", "1.5", "one", "", "99999999999999999999",
                                  "0x1"])
def test_bad_axis(run, x_file, axis):
    assert_error(run("layer-norm", x_file, "--axis", axis), 2, "--axis")


@pytest.mark.parametrize("size", ["0", "-1", "1M"])
def test_bad_block_bytes(run, x_file, size):
    assert_error(run("layer-norm", x_file, "--block-bytes", size), 2, "--block-bytes")


def test_bad_dtype(run, x_file):
    assert_error(run("layer-norm", x_file, "--dtype", "float32"), 2, "--dtype", "float32",
                 "bf16, f16, f32, f64")


def test_short_and_long_forms(run, x_file, tmp_path):
    for form in (["-oa.npy"], ["-o", "a.npy"], ["--output=a.npy"], ["--output", "a.npy"]):
        assert run("layer-norm", *form, x_file).returncode == 0
        (tmp_path / "a.npy").unlink()


@pytest.mark.parametrize("argument", ["-o=a.npy", "-o=", "-o==a.npy"])
def test_short_form_with_equals(run, x_file, tmp_path, argument):
    assert_error(run("layer-norm", x_file, argument), 2, "-o: ", "-o FILE", "--output=FILE")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    assert run("layer-norm", x_file, "-o", "=a.npy").returncode == 0
    assert (tmp_path / "=a.npy").exists()


def test_dashes_end_the_options(run, x_file):
    x_file.rename(x_file.parent / "-x.npy")
    assert run("layer-norm", "--", "-x.npy").returncode == 0


def test_unknown_device(run, x_file):
    assert_error(run("layer-norm", x_file, "--device", "abacus"), 2, "--device", "abacus")
    assert_error(run("layer-norm", x_file, env={"ANYNORM_DEVICE": "abacus"}), 2, "ANYNORM_DEVICE",
                 "abacus")


def test_log_level(run, x_file):
    assert_error(run("layer-norm", x_file, env={"ANYNORM_LOG": "loud"}), 2, "ANYNORM_LOG", "loud",
                 "error, warn, info or debug")
    lines = run("layer-norm", x_file, env={"ANYNORM_LOG": "debug"}).stderr.splitlines()
    assert any(line.startswith("anynorm: [debug] ") for line in lines)
    assert run("layer-norm", x_file, env={"ANYNORM_LOG": "error"}).stderr == ""
