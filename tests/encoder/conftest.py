"""The example comes from $ANYNORM_ENCODER, and runs on the first OpenCL device there is."""
import json
import os
import subprocess

import numpy as np
import pytest
from network import Network, random_model, write_model


@pytest.fixture(scope="session")
def run():
    """run("--json", folder, sentence, ...) -> the finished process."""
    path = os.environ.get("ANYNORM_ENCODER")
    if not path:
        pytest.fail("ANYNORM_ENCODER must name the example's program")

    def call(*words, stdout=subprocess.PIPE):
        environment = dict(os.environ, ANYNORM_CACHE="off", ANYNORM_TUNING="off")
        return subprocess.run([os.path.abspath(path), *map(os.fsencode, words)], env=environment,
                              stdout=stdout, stderr=subprocess.PIPE, timeout=1200, check=False)
    return call


@pytest.fixture(scope="session")
def tokenize(run):
    """tokenize(folder, sentences) -> the tokens of each. No device is asked for."""
    def call(folder, sentences):
        result = run("--tokens", folder, *sentences)
        assert (result.returncode, result.stderr) == (0, b"")
        return [[int(word) for word in line.split(b", ")] for line in result.stdout.splitlines()]
    return call


@pytest.fixture(scope="session")
def encode(run):
    """encode(folder, sentences) -> what --json prints, its vectors as arrays."""
    def call(folder, sentences):
        result = run("--json", "--runs", "1", folder, *sentences)
        if result.stderr == b"encoder: no OpenCL device\n":
            pytest.skip("no OpenCL device")
        assert result.returncode == 0, result.stderr
        answer = json.loads(result.stdout)
        for way in ("fused", "unfused"):
            answer[way]["embeddings"] = np.array(answer[way]["embeddings"])
        return answer
    return call


@pytest.fixture(scope="session")
def compare(encode):
    """compare(folder, sentences) -> the answer, and how far each way's vectors are from those of
    the network in double precision, which sees one sentence at a time and so needs no mask."""
    def call(folder, sentences):
        answer = encode(folder, sentences)
        network = Network(folder)
        expected = np.array([network.encode(tokens) for tokens in answer["tokens"]])
        return answer, {way: np.abs(answer[way]["embeddings"] - expected).max()
                        for way in ("fused", "unfused")}
    return call


@pytest.fixture
def model(tmp_path):
    """The folder of a small random model: model("words ...", config=..., tensors=...) with what
    differs from the usual one; a tensor that is None is left out."""
    def call(words=("the", "dog", "cat", "##s", "runs", "play", "##ing", "."), config=None, tensors=None):
        usual = random_model(5 + len(words))
        kept = {name: tensor for name, tensor in {**usual.tensors, **(tensors or {})}.items()
                if tensor is not None}
        return write_model(tmp_path, {**usual.config, **(config or {})}, kept, words)
    return call
