#!/bin/bash
# ONNX Runtime 1.32.0: GroupNormalization of a constant group can be NaN, though epsilon keeps its root from 0.
#
# The operator is expanded as E[x^2] - E[x]^2, in f32, and beside a mean the difference may come out below
# -epsilon: the root is NaN. InstanceNormalization of the same numbers, a group of one channel each, is finite.
# Seen 2026-11-30 on an x86-64 CPU with AVX-512: NaN at 1000.1 and around a mean of 1e5 beside a spread of 1.
# Fails when it is finite.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/bin/python" - <<'END'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def norm(operator, x, **attributes):
    count = [x.shape[1]]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
             for name, shape in (("x", x.shape), ("w", count), ("b", count), ("y", None))]
    node = helper.make_node(operator, ["x", "w", "b"], ["y"], epsilon=1e-5, **attributes)
    graph = helper.make_graph([node], "norm", infos[:3], infos[3:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x, "w": np.ones(count, np.float32), "b": np.zeros(count, np.float32)})[0]


constant = np.full((1, 1, 768), 1000.1, np.float32)
spread = (1e5 + np.random.default_rng(100768).standard_normal((64, 1, 768))).astype(np.float32)
for name, x in (("constant", constant), ("mean 1e5, spread 1", spread)):
    group, instance = norm("GroupNormalization", x, num_groups=1), norm("InstanceNormalization", x)
    print(f"{name}: GroupNormalization has {np.isnan(group).sum()} NaN of {group.size}, "
          f"InstanceNormalization {np.isnan(instance).sum()}")
    assert np.isnan(group).any() and not np.isnan(instance).any()
END
