"""Whatever is wrong is one line and status 1, and nothing on stdout."""
import json
import struct

import numpy as np
import pytest


def refused(result, text):
    if result.stderr == b"encoder: no OpenCL device\n":
        pytest.skip("no OpenCL device")
    lines = result.stderr.decode().splitlines()
    assert result.returncode == 1 and result.stdout == b"", result
    assert len(lines) == 1 and lines[0].startswith("encoder: ") and text in lines[0], lines


@pytest.mark.parametrize("words", [[], ["FOLDER"], ["--jsn", "FOLDER", "a"], ["--runs"],
                                   ["--json", "--tokens", "FOLDER", "a"]])
def test_usage(model, run, words):
    folder = model()
    refused(run(*[folder if word == "FOLDER" else word for word in words]), "usage: encoder")


@pytest.mark.parametrize("number", ["0", "10001", "-1", "2x", ""])
def test_runs(model, run, number):
    refused(run("--runs", number, model(), "cat"), "--runs takes a number from 1 to 10000")


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_files_that_are_missing(model, run, name):
    folder = model()
    (folder / name).unlink()
    refused(run(folder, "cat"), f"{name}: No such file")


@pytest.mark.parametrize("changes, text", [
    ({"hidden_size": 0}, "it must say hidden_size"),
    ({"hidden_size": 2.5}, "2.5 is no size"),
    ({"hidden_size": 1 << 21}, "a size is above"),
    ({"num_attention_heads": 5}, "5 heads do not divide"),
    ({"num_attention_heads": -4}, "-4 is no size"),
    ({"layer_norm_eps": -1}, "it must say hidden_size"),
    ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
    ({"model_type": "roberta"}, "model_type is 'roberta'"),
    ({"hidden_size": 16}, "embeddings.word_embeddings.weight is of 13 x 32"),
    ({"num_hidden_layers": 3}, "it has no encoder.layer.2.attention.self.query.weight"),
    ({"max_position_embeddings": 41}, "embeddings.position_embeddings.weight is of 40 x 32"),
])
def test_configurations(model, run, changes, text):
    refused(run(model(config=changes), "cat"), text)


@pytest.mark.parametrize("text", ["", "[]", "{\"a\" 1}", "{\"a\": 1", "{\"a\": x}", "{\"a", "{\"a\": [1 2]}",
                                  "{\"hidden_size\": }", "{\"hidden_size\": 1e999}", "{\"hidden_size\": \"32\"}"])
def test_what_is_no_json(model, run, text):
    folder = model()
    (folder / "config.json").write_text(text)
    refused(run(folder, "cat"), "config.json: no JSON: ")


def test_json_that_is_deep(model, run):
    folder = model()
    (folder / "config.json").write_text('{"a": ' + "[" * 100000)
    refused(run(folder, "cat"), "nested too deeply")


@pytest.mark.parametrize("changes, text", [
    ({"embeddings.LayerNorm.weight": None}, "it has no embeddings.LayerNorm.weight of F32"),
    ({"embeddings.LayerNorm.weight": np.ones(32, "f2")}, "it has no embeddings.LayerNorm.weight of F32"),
    ({"embeddings.LayerNorm.weight": np.ones(31, "f4")}, "embeddings.LayerNorm.weight is of 1 x 31"),
    ({"encoder.layer.1.output.dense.weight": np.ones((48, 32), "f4")},
     "encoder.layer.1.output.dense.weight is of 48 x 32"),
    ({"embeddings.word_embeddings.weight": np.ones((12, 32), "f4")},
     "vocab.txt: it has 13 words, and model.safetensors vectors for 12"),
    ({"embeddings.LayerNorm.bias": np.full(32, np.nan, "f4")}, "a sentence's vector is not finite"),
])
def test_tensors(model, run, changes, text):
    refused(run(model(tensors=changes), "cat"), text)


def change_header(data, change):
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length:]


def set_entry(field, value):
    def change(header):
        header["embeddings.LayerNorm.weight"][field] = value
    return lambda data: change_header(data, change)


@pytest.mark.parametrize("change, text", [
    (lambda data: b"", "it ends too early"),
    (lambda data: data[:8], "no safetensors file"),
    (lambda data: b"\xff" * 8 + data[8:], "no safetensors file"),
    (lambda data: struct.pack("<Q", 20) + data[8:], "no JSON"),
    (lambda data: data[:-4], "encoder.layer.1.output.LayerNorm.bias does not lie in the"),
    (set_entry("data_offsets", [0, 1 << 40]), "embeddings.LayerNorm.weight does not lie in the"),
    (set_entry("data_offsets", [2, 130]), "embeddings.LayerNorm.weight does not lie in the"),
    (set_entry("data_offsets", [128, 0]), "embeddings.LayerNorm.weight does not lie in the"),
    (set_entry("shape", [1 << 53, 1 << 53]), "embeddings.LayerNorm.weight does not lie in the"),
    (set_entry("shape", [33]), "embeddings.LayerNorm.weight does not lie in the"),
    (set_entry("shape", [-1]), "-1 is no size"),
])
def test_files_of_weights(model, run, change, text):
    folder = model()
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    refused(run(folder, "cat"), text)


@pytest.mark.parametrize("special", ["[UNK]", "[CLS]", "[SEP]"])
def test_vocabulary_without(model, run, special):
    folder = model()
    path = folder / "vocab.txt"
    path.write_text(path.read_text().replace(special, "x"))
    refused(run(folder, "cat"), f"it has no line {special}")


def test_sentence_that_is_too_long(model, run):
    assert run("--tokens", model(), "cat " * 38).returncode == 0
    refused(run(model(), "cat", "cat " * 39), "a sentence has 41 tokens, and the model takes 40 at most")


@pytest.mark.parametrize("text", [b"a\x80", b"\xc3", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                                  b"\xf8\x88\x80\x80\x80", b"\xc3a"])
def test_what_is_no_utf8(model, run, text):
    refused(run("--tokens", model(), text), "no UTF-8 at its byte")


def test_output_that_is_full(model, run, tmp_path):
    with open("/dev/full", "wb") as full:
        result = run("--tokens", model(), "cat", stdout=full)
    assert result.returncode == 1 and result.stderr == b"encoder: the output could not be written\n"
