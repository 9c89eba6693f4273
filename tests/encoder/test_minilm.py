"""The encoder on the folder of all-MiniLM-L6-v2, which $ANYNORM_ENCODER_MODEL names (ci/encoder downloads it)."""
import os

import pytest

# Of vectors of length 1, some 0.05 an element.
BOUND = 2e-6

PAIRS = [("A man is eating food.", "Someone is having a meal."),
         ("The stock market fell sharply today.", "Shares lost a lot of their value."),
         ("How do I reset my password?", "I forgot my login and need a new one.")]


@pytest.fixture(scope="module")
def folder():
    path = os.environ.get("ANYNORM_ENCODER_MODEL")
    if not path:
        pytest.skip("ANYNORM_ENCODER_MODEL names no folder")
    return path


# Those of the tokenizers library (0.23.3) with the folder's tokenizer.json.
@pytest.mark.parametrize("text, tokens", [
    ("Hello, world!", [7592, 1010, 2088, 999]),
    ("unaffable", [14477, 20961, 3468]),
    ("\u00c7a co\u00fbte 3,50 \u20ac \u2013 n'est-ce pas?",
     [6187, 2522, 10421, 1017, 1010, 2753, 1574, 1516, 1050, 1005, 9765, 1011, 8292, 14674, 1029]),
])
def test_tokens(folder, tokenize, text, tokens):
    assert tokenize(folder, [text]) == [[101, *tokens, 102]]


def test_vectors_and_what_they_mean(folder, compare):
    answer, errors = compare(folder, [text for pair in PAIRS for text in pair])
    print(errors)
    assert max(errors.values()) < BOUND
    vectors = answer["fused"]["embeddings"]
    likeness = vectors @ vectors.T
    for i in range(0, len(likeness), 2):
        others = [likeness[i, k] for k in range(len(likeness)) if k not in (i, i + 1)]
        assert likeness[i, i + 1] > max(others) + 0.1
