#!/bin/bash
# onnx 1.23.2: LayerNormalization of halves by ReferenceEvaluator is all zeros from values of about 256 on.
#
# The operator's attribute stash_type says that the statistic is f32, and the body that ONNX itself gives for
# the operator casts to it. The evaluator does not use that body: it squares in the type of x, where 300 * 300
# is infinity, and divides by its root: zeros, no NaN, a warning of numpy at most. The same evaluator, given
# the body in the operator's place, is right.
# Seen 2026-11-30: [0, -0, 0, -0], and by the body [0.9834, -1.017, 1.017, -0.9834].
# Fails when that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet onnx==1.23.2 numpy==2.4.6
"$folder/bin/python" -W ignore - <<'END'
import numpy as np
import onnx.inliner
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.array([[300, -300, 310, -290]], np.float16)
node = helper.make_node("LayerNormalization", ["x", "w"], ["y"], epsilon=1e-5)
graph = helper.make_graph(
    [node], "norm", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, 4]),
                     helper.make_tensor_value_info("w", TensorProto.FLOAT16, [4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
body = onnx.inliner.inline_selected_functions(model, [("", "LayerNormalization")], inline_schema_functions=True)
feeds = {"x": x, "w": np.ones(4, np.float16)}
operator, by_body = (ReferenceEvaluator(m).run(None, feeds)[0] for m in (model, body))
print("the evaluator:", operator, "the operator's body:", by_body)
wide = x.astype(np.float64)
right = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)
assert np.all(operator == 0)
assert np.allclose(by_body, right, rtol=2e-3)
END
