"""The encoder's network in double precision, and small models for it with random weights."""
import collections
import json
import math
import pathlib
import struct

import numpy as np

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

erf = np.vectorize(math.erf, otypes=[float])


def read_tensors(path):
    """Those of F32 in a safetensors file, as doubles."""
    data = pathlib.Path(path).read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    return {name: np.frombuffer(data[end:][slice(*entry["data_offsets"])], "<f4").reshape(
                entry["shape"]).astype(np.float64)
            for name, entry in header.items() if entry.get("dtype") == "F32"}


def write_tensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    names = {np.dtype("f4"): "F32", np.dtype("f2"): "F16", np.dtype("i8"): "I64"}
    for name, tensor in tensors.items():
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


class Network:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = read_tensors(folder / "model.safetensors")

    def norm(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred ** 2).mean(axis=-1, keepdims=True)
        n = centred / np.sqrt(variance + self.config["layer_norm_eps"])
        return n * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def attention(self, x, name):
        tokens, hidden = x.shape
        heads = self.config["num_attention_heads"]
        query, key, value = (self.linear(x, f"{name}.{part}").reshape(tokens, heads, -1).swapaxes(0, 1)
                             for part in ("query", "key", "value"))
        scores = query @ key.swapaxes(1, 2) / math.sqrt(hidden / heads)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ value).swapaxes(0, 1).reshape(tokens, hidden)

    def layer(self, x, name):
        found = self.linear(self.attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self.norm(x + found, f"{name}.attention.output.LayerNorm")
        inner = self.linear(x, f"{name}.intermediate.dense")
        inner *= 0.5 * (1 + erf(inner / math.sqrt(2)))
        return self.norm(x + self.linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def encode(self, tokens):
        table = "embeddings.{}_embeddings.weight".format
        x = (self.tensors[table("word")][tokens] + self.tensors[table("position")][:len(tokens)] +
             self.tensors[table("token_type")][0])
        x = self.norm(x, "embeddings.LayerNorm")
        for i in range(self.config["num_hidden_layers"]):
            x = self.layer(x, f"encoder.layer.{i}")
        pooled = x.mean(axis=0)
        return pooled / np.linalg.norm(pooled)


Model = collections.namedtuple("Model", "config tensors")


def random_model(words):
    """Two layers of 32 columns, with room for so many words."""
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 4, "intermediate_size": 48, "layer_norm_eps": 1e-12,
              "max_position_embeddings": 40, "torch_dtype": "float32", "use_cache": True,
              "id2label": {"0": "a \"word\"", "1": [None, -1.5]}}
    random = np.random.default_rng(1)
    tensors = {"embeddings.position_ids": np.arange(40, dtype="i8")[None]}

    def table(name, *shape):
        tensors[name] = random.normal(0, 0.5, shape).astype("f4")

    def linear(name, outputs, inputs):
        table(name + ".weight", outputs, inputs)
        table(name + ".bias", outputs)

    def norm(name):
        tensors[name + ".weight"] = random.normal(1, 0.2, 32).astype("f4")
        table(name + ".bias", 32)

    table("embeddings.word_embeddings.weight", words, 32)
    table("embeddings.position_embeddings.weight", 40, 32)
    table("embeddings.token_type_embeddings.weight", 2, 32)
    norm("embeddings.LayerNorm")
    for i in range(2):
        name = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            linear(f"{name}.attention.self.{part}", 32, 32)
        linear(f"{name}.attention.output.dense", 32, 32)
        norm(f"{name}.attention.output.LayerNorm")
        linear(f"{name}.intermediate.dense", 48, 32)
        linear(f"{name}.output.dense", 32, 48)
        norm(f"{name}.output.LayerNorm")
    return Model(config, tensors)


def write_model(folder, config, tensors, words):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in [*SPECIAL, *words]), encoding="utf-8")
    write_tensors(folder / "model.safetensors", tensors)
    return folder
