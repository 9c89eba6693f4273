"""The encoder on a small random model: nothing is downloaded."""
import numpy as np

# Of vectors of length 1, some 0.2 an element: a few hundred roundings of f32, at 2^-24 each, of
# which a post-norm hands on what it got.
BOUND = 2e-6

SENTENCES = ["The dogs runs playing.", "cat", "", "the the the cat cats dog dogs . . . runs playing plays unknown"]


def test_both_ways_agree_with_double_precision(model, compare):
    answer, errors = compare(model(), SENTENCES)
    print(errors)
    assert max(errors.values()) < BOUND
    for way in ("fused", "unfused"):
        assert np.allclose(np.linalg.norm(answer[way]["embeddings"], axis=1), 1, atol=1e-6)
        assert 0 < answer[way]["norms_ns"] < answer[way]["all_ns"]


def test_eps_is_the_models(model, compare):
    _, errors = compare(model(config={"layer_norm_eps": 0.5}), SENTENCES[:2])
    assert max(errors.values()) < BOUND


def test_large_scores_do_not_overflow(model, compare):
    large = {f"encoder.layer.0.attention.self.{part}.bias": np.full(32, 20, "f4") for part in ("query", "key")}
    _, errors = compare(model(tensors=large), SENTENCES)
    # Scores about 1600 have 2^-13 of rounding, and shares as much.
    assert max(errors.values()) < 1e-3


def test_printed_similarities(model, run, encode):
    folder = model()
    vectors = encode(folder, SENTENCES[:3])["fused"]["embeddings"]
    lines = run("--runs", "1", folder, *SENTENCES[:3]).stdout.decode().splitlines()
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert len(lines) == 5
    for line, (i, k) in zip(lines, pairs):
        number, text = line.strip().split("  ", 1)
        assert text == f"{SENTENCES[i]} | {SENTENCES[k]}".strip()
        assert abs(float(number) - vectors[i] @ vectors[k]) < 1e-4
    assert lines[3].startswith("norms, fused: ") and lines[4].startswith("norms, unfused: ")
