"""ci/gpu: what a run leaves in its folder, keeps, does again, and refuses."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from gpu_support import GPU, ROOT, check_page, copy_of, make_program, read, states

SMALL = ["--device", "reference", "--shapes", "3x64", "--dtype", "f32", "--seconds", "120"]
TINY = [*SMALL, "--part", "verify", "--part", "speed", "--part", "family", "--part", "peers"]


@pytest.fixture(scope="module")
def first(gpu, build, bare_python, tmp_path_factory):
    """A whole run on the reference, which others look at and do not change."""
    folder = tmp_path_factory.mktemp("first") / "report"
    result = gpu(*TINY, "--build", build, "--python", bare_python, "--output", folder)
    assert (result.returncode, result.stderr) == (0, ""), result
    return folder, result


def error_of(result, status=2):
    """The one line on stderr."""
    assert (result.returncode, result.stdout) == (status, ""), result
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("ci/gpu: "), result.stderr
    return lines[0]


# ---- A run ----


def test_steps_and_report(first, build):
    folder, result = first
    document, records = read(folder)
    assert document["effort"] == "quick" and not document["interrupted"] and document["bad"] == []
    program = subprocess.run([build / "host" / "cli" / "anynorm", "--version"], text=True, check=True,
                             capture_output=True)
    assert "anynorm " + document["anynorm"]["version"] == program.stdout.strip()
    assert set(states(document).values()) == {"done"}
    assert [name for _, name in records] == [
        "verify", "speed layer-norm 1x4096", "speed layer-norm 3x64", "speed rms-norm 3x64",
        "family residual-layer-norm 3x64", "family residual-rms-norm 3x64", "family rms-norm-int8 3x64"]
    (device,) = document["devices"]
    assert device["info"]["id"] == "reference" and device["info"]["class"] == "reference"
    assert device["goals"] == []  # they are for GPUs
    assert {line["type"] for line in device["verify"]["lines"]} == {"f32", "f16", "bf16", "family", "backward"}
    assert all(line["result"] == "pass" and line["worst"] <= line["bound"] for line in device["verify"]["lines"])
    assert f"report: {folder}/report.html" in result.stdout


def test_figures_are_the_raw_ones(first):
    """In report.json to the last digit, in report.html as they are rounded there."""
    folder, _ = first
    document, records = read(folder)
    page = (folder / "report.html").read_text()
    measured = [entry for (_, name), record in records.items() if name != "verify"
                for entry in json.loads(record["stdout"])["results"]]
    shown = document["devices"][0]["speed"]
    assert len(measured) == len(shown) == 2 * 6
    for raw, row in zip(measured, shown):
        assert {key: row[key] for key in raw if key in row} == {key: raw[key] for key in raw if key in row}
        assert {"gbps", "copy_gbps", "copy_share", "wall_us_p50", "launch_us", "choice"} <= set(row) & set(raw)
        cells = [raw["op"], raw["dtype"], f"{raw['rows']} x {raw['columns']}"]
        cells += [f"{raw['gbps']:.1f}", f"{raw['copy_gbps']:.1f}", f"{raw['copy_share']:.2f}"]
        pattern = "<td[^>]*>" + ".*?<td[^>]*>".join(re.escape(cell) + "</td>" for cell in cells)
        assert any(re.search(pattern, line) for line in page.split("<tr>")), cells


def test_what_is_missing_is_told(first):
    folder, result = first
    document, _ = read(folder)
    skipped = {entry["what"]: entry["why"] for entry in document["skipped"]}
    for name in ("torch", "liger_kernel", "quack", "vllm"):
        assert skipped[name] == f"No module named {name}"
        assert f"skipped: {name} (No module named {name})" in result.stdout.splitlines()
    assert "--shapes" in skipped["group-norm"]
    assert "No module named torch" in (folder / "report.html").read_text()


def test_no_such_python(gpu, build, tmp_path):
    result = gpu("--device", "reference", "--build", build, "--part", "peers", "--python", tmp_path / "none",
                 "--output", tmp_path / "out")
    assert result.returncode == 0, result
    assert f"skipped: torch, liger_kernel, quack, vllm ({tmp_path}/none: No such file or directory)" in result.stdout


def test_a_second_run_keeps(first, gpu, build, bare_python, tmp_path):
    folder = copy_of(first[0], tmp_path / "report")
    before, files = read(folder)[0], {path: path.stat().st_mtime_ns for path in folder.rglob("raw/*/*.json")}
    result = gpu(*TINY, "--build", build, "--python", bare_python, "--output", folder)
    assert result.returncode == 0, result
    after = read(folder)[0]
    assert set(states(after).values()) == {"kept"} and "verify: kept" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("raw/*/*.json")} == files
    assert after["devices"] == before["devices"]


DAMAGES = {
    "speed layer-norm 1x4096": lambda text: "",
    "speed layer-norm 3x64": lambda text: text[:len(text) // 2],
    "speed rms-norm 3x64": lambda text: text.replace("gbps", "gbqs", 1),
    "family residual-layer-norm 3x64": lambda text: "null",
    "family residual-rms-norm 3x64": lambda text: re.sub(r'"seal": "..', '"seal": "00', text),
    "family rms-norm-int8 3x64": None}


def test_a_damaged_file_is_done_again(first, gpu, build, bare_python, tmp_path):
    folder = copy_of(first[0], tmp_path / "report")
    files = {step["name"]: folder / step["file"] for step in read(folder)[0]["steps"]}
    for name, damage in DAMAGES.items():
        whole = files[name].read_text()
        if not damage:
            files[name].unlink()
            continue
        files[name].write_text(damage(whole))
        assert files[name].read_text() != whole
    result = gpu(*TINY, "--build", build, "--python", bare_python, "--output", folder)
    assert result.returncode == 0, result
    document, records = read(folder)
    found = states(document)
    assert found == {("reference", name): "done" if name in DAMAGES else "kept" for name in files}
    assert all(json.loads(records["reference", name]["stdout"])["results"] for name in DAMAGES)


def test_other_arguments_are_other_results(first, gpu, build, bare_python, tmp_path):
    folder = copy_of(first[0], tmp_path / "report")
    result = gpu(*SMALL, "--part", "speed", "--build", build, "--python", bare_python,
                 "--output", folder, ANYNORM_CAPS="no-fp16", ANYNORM_SCHEDULE="row_reread")
    assert result.returncode == 0, result
    document, _ = read(folder)
    assert len(document["steps"]) == 3 and set(states(document).values()) == {"done"}
    assert document["environment"] == {"ANYNORM_CAPS": "no-fp16"}  # and nothing else of the user's


# ---- What is refused ----


def test_no_gpu(gpu, build, tmp_path):
    line = error_of(gpu("--build", build, "--output", tmp_path / "out"))
    assert "no GPU" in line and "reference (" in line and "--device" in line
    assert not (tmp_path / "out").exists()


def test_no_such_device(gpu, build, tmp_path):
    line = error_of(gpu("--device", "opencl:99", "--build", build, "--output", tmp_path / "out"))
    assert "opencl:99" in line and "reference (" in line
    assert not (tmp_path / "out").exists()


def test_no_such_build(gpu, tmp_path):
    assert "is no program" in error_of(gpu("--build", tmp_path, "--device", "reference"))


def test_output_that_is_a_file(gpu, build, tmp_path):
    (tmp_path / "file").write_text("mine")
    line = error_of(gpu("--device", "reference", "--build", build, "--output", tmp_path / "file"))
    assert "--output" in line and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("options", [
    ["--seconds", "0"], ["--seconds", "-1"], ["--seconds", "nan"], ["--seconds", "x"], ["--shapes", "3"],
    ["--shapes", "3x"], ["--shapes", "0x3"], ["--shapes", "3x4,"], ["--dtype", "f8"], ["--dtype", ""],
    ["--part", "sleep"], ["--quick", "--full"], ["--jason"]])
def test_bad_options(gpu, options):
    result = gpu("--device", "reference", *options)
    assert result.returncode == 2 and result.stdout == ""
    assert options[0].lstrip("-") in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("text", ["", "{}", "[]", "{\"devices\": 1}"])
def test_page_of_what_is_no_report(gpu, tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert "no report.json" in error_of(gpu("--page", tmp_path / "report.json"))
    assert not (tmp_path / "report.html").exists()


def test_page_again(first, gpu, tmp_path):
    """The page is made of report.json alone."""
    (tmp_path / "report.json").write_bytes((first[0] / "report.json").read_bytes())
    assert gpu("--page", tmp_path / "report.json").returncode == 0
    assert (tmp_path / "report.html").read_bytes() == (first[0] / "report.html").read_bytes()


# ---- The page ----


def test_page_is_well_formed(first):
    reader = check_page((first[0] / "report.html").read_text())
    assert "anynorm on" in "".join(reader.words)


HOSTILE = "</title><script>alert('1')</script>\"' & <b onload=x>\u202e\U0001f4a5"


def poison(value):
    """Every text of a report, replaced."""
    if isinstance(value, dict):
        return {key: item if key in ("state", "regime", "class", "clock", "part", "effort")
                else poison(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poison(item) for item in value]
    return HOSTILE if isinstance(value, str) and value else value


def test_hostile_words(first, gpu, tmp_path):
    document, _ = read(first[0])
    document["devices"][0]["info"]["name"] = HOSTILE
    for changed in (document, poison(document)):
        (tmp_path / "report.json").write_text(json.dumps(changed))
        result = gpu("--page", tmp_path / "report.json")
        assert result.returncode == 0, result
        reader = check_page((tmp_path / "report.html").read_text())
        assert HOSTILE in "".join(reader.words)


# ---- Interrupted ----


def heed_signals():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(fake_build, environment, tmp_path, number):
    """What there is by then is reported, what was begun is ended, and the next run goes on."""
    folder = tmp_path / "report"
    command = [sys.executable, "-B", ROOT / "ci" / "gpu", "--build", fake_build, "--output", folder, "--part",
               "verify", "--part", "family"]
    log = tmp_path / "log"
    settings = dict(environment, FAKE_DEVICES=json.dumps([GPU]), FAKE_LOG=str(log))
    with subprocess.Popen(command, env=dict(settings, FAKE_HANGS="--op adaptive"), text=True,
                          preexec_fn=heed_signals, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        end = time.monotonic() + 60
        while "--op adaptive" not in (log.read_text() if log.exists() else "") and time.monotonic() < end:
            time.sleep(0.05)
        second = subprocess.run(command, env=settings, text=True, capture_output=True, check=False)
        assert "another run is writing there" in error_of(second)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, ""), out
    document, _ = read(folder)
    assert document["interrupted"] and "Interrupted" in (folder / "report.html").read_text()
    done = {key: "kept" for key, state in states(document).items() if state == "done"}
    assert len(done) == 3
    again = subprocess.run(command, env=settings, text=True, capture_output=True, check=False)
    assert again.returncode == 0, again
    document, _ = read(folder)
    found = states(document)
    assert {key: found[key] for key in done} == done
    assert {found[key] for key in found if key not in done} == {"done"} and not document["interrupted"]


def test_nobody_listens(fake_build, environment, tmp_path):
    """A closed pipe does not end a run."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        result = subprocess.run([sys.executable, "-B", ROOT / "ci" / "gpu", "--build", fake_build, "--output",
                                 tmp_path / "out", "--part", "verify"], stdout=closed, stderr=subprocess.PIPE,
                                env=dict(environment, FAKE_DEVICES=json.dumps([GPU])), check=False)
    assert result.returncode == 0, result
    assert read(tmp_path / "out")[0]["devices"][0]["verify"]


# ---- Crashes, hangs, tests ----


def test_a_crash_and_a_hang_are_told(gpu, fake_build, tmp_path):
    options = ["--build", fake_build, "--output", tmp_path / "out", "--part", "verify", "--part", "family",
               "--seconds", "2"]
    settings = {"FAKE_DEVICES": json.dumps([GPU]), "FAKE_CRASHES": "verify", "FAKE_HANGS": "--op adaptive"}
    result = gpu(*options, **settings)
    assert result.returncode == 1, result
    document, _ = read(tmp_path / "out")
    found = states(document)
    assert found["opencl:0", "verify"] == "crashed"
    assert found["opencl:0", "family adaptive"] == "stopped"
    assert found["opencl:0", "family per-head"] == "skipped"
    whys = {step["name"]: step["why"] for step in document["steps"]}
    assert document["bad"] == ["opencl:0: verify: crashed: " + whys["verify"]]
    assert whys["verify"].startswith("SIGSEGV") and "the 2 s that were left" in whys["family adaptive"]
    # What was killed for want of time has more of it the next time.
    result = gpu(*options, **settings)
    assert "family adaptive: stopped (killed after the 4 s" in result.stdout
    # A crash is a result, and kept; what had no time left is tried again.
    result = gpu(*options, **dict(settings, FAKE_HANGS="nothing"))
    assert result.returncode == 1
    found = states(read(tmp_path / "out")[0])
    assert found["opencl:0", "verify"] == "kept" and found["opencl:0", "family adaptive"] == "done"
    result = gpu(*options, "--again", FAKE_DEVICES=json.dumps([GPU]))
    assert result.returncode == 0, result
    assert states(read(tmp_path / "out")[0])["opencl:0", "verify"] == "done"


def test_a_failure_is_told(gpu, fake_build, tmp_path):
    """And tried again by the next run."""
    options = ["--build", fake_build, "--output", tmp_path / "out", "--part", "family"]
    result = gpu(*options, FAKE_DEVICES=json.dumps([GPU]), FAKE_FAILS="--op adaptive")
    assert result.returncode == 1, result
    document, _ = read(tmp_path / "out")
    fault = "opencl:0: family adaptive: failed: exit status 1: anynorm: bench: device lost"
    assert document["bad"] == [fault] and f"WRONG: {fault}" in result.stdout
    result = gpu(*options, FAKE_DEVICES=json.dumps([GPU]))
    assert (result.returncode, read(tmp_path / "out")[0]["bad"]) == (0, [])


def test_a_hang_is_told(gpu, fake_build, tmp_path, environment):
    """Twice, and the device is left alone: with limits of a second, since the true ones are minutes."""
    call = ("import sys; sys.argv[0] = 'ci/gpu'; sys.path.insert(0, 'bench'); from gpu import steps\n"
            "for part in steps.PARTS: part.limit = 1\n"
            "import runpy; runpy.run_path('ci/gpu', run_name='__main__')")
    result = subprocess.run(
        [sys.executable, "-B", "-c", call, "--build", fake_build, "--output", tmp_path / "out", "--part", "family"],
        env=dict(environment, FAKE_DEVICES=json.dumps([GPU]), FAKE_HANGS="--op"), cwd=ROOT, text=True,
        capture_output=True, check=False)
    assert result.returncode == 1, result
    document, _ = read(tmp_path / "out")
    assert list(states(document).values()) == ["hung"] * 2 + ["skipped"] * 6
    assert document["bad"] == [
        f"opencl:0: {step['name']}: hung: killed after 1 s: it hangs, or is far too slow here"
        for step in document["steps"][:2]]
    assert "hung 2 times" in document["steps"][2]["why"]


def test_device_tests(gpu, fake_build, tmp_path):
    """As meson has noted them: those of the suites for devices, each in the short form on the device."""
    bodies = {"good": "printf 'ok 1 - one\\nok 2 - two # SKIP no such thing\\n'; "
                      "[ $ANYNORM_TEST_DEVICE/$ANYNORM_TEST_REDUCED/$OWN/$ANYNORM_TUNING = opencl:0/1/set/off ]",
              "bad": "printf 'ok 1 - one\\nnot ok 2 - two\\n'; exit 1", "dead": "kill -SEGV $$",
              "host": "exit 1"}
    tests = [{"name": name, "cmd": [str(make_program(fake_build / f"test_{name}", f"#!/bin/sh\n{body}\n"))],
              "env": {"OWN": "set", "ANYNORM_TUNING": "off"},
              "suite": ["anynorm:host" if name == "host" else "anynorm:device"]}
             for name, body in bodies.items()]
    (fake_build / "meson-info").mkdir()
    (fake_build / "meson-info" / "intro-tests.json").write_text(json.dumps(tests))
    result = gpu("--build", fake_build, "--output", tmp_path / "out", "--part", "tests",
                 FAKE_DEVICES=json.dumps([GPU]))
    assert result.returncode == 1, result
    document, _ = read(tmp_path / "out")
    programs = {program["name"]: program for program in document["devices"][0]["tests"]}
    assert set(programs) == {"good", "bad", "dead"}
    assert (programs["good"]["passed"], programs["good"]["skipped"], programs["good"]["status"]) == (1, 1, 0)
    assert programs["bad"]["failed"] == ["two"] and programs["dead"]["state"] == "crashed"
    assert document["bad"] == ["opencl:0: test bad: two", "opencl:0: test dead: crashed, status 11"]
    check_page((tmp_path / "out" / "report.html").read_text())
