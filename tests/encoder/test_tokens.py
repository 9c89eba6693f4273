"""The encoder's tokenizer against Python's own Unicode, without a device."""
import unicodedata

import pytest
from network import SPECIAL


def expected_words(text):
    """What BERT's uncased tokenizer makes of a text before WordPiece."""
    words = [""]
    for character in text:
        kind = unicodedata.category(character)
        number = ord(character)
        ideograph = 0x3400 <= number < 0x4dc0 or 0x4e00 <= number < 0xa000
        if character in " \t\n\r" or kind in ("Zs", "Zl", "Zp"):
            words.append("")
        elif kind in ("Cc", "Cf") or number == 0xfffd:
            pass
        elif ideograph or kind[0] == "P" or (number < 0x80 and not character.isalnum()):
            words += [character, ""]
        else:
            bare = unicodedata.normalize("NFD", character.lower())
            words[-1] += "".join(part for part in bare if unicodedata.category(part) != "Mn")
    return [word for word in words if word]


@pytest.mark.parametrize("first, last", [(0x1, 0x17f), (0x2000, 0x2064), (0x3000, 0x303f),
                                         (0x4dfe, 0x4e20), (0xff01, 0xff65)])
def test_each_known_character(model, tokenize, first, last):
    characters = [chr(number) for number in range(first, last + 1)
                  if unicodedata.category(chr(number)) not in ("Cn", "Mc")]
    assert len(characters) > 30
    sentences = [f"a{character}b" for character in characters]
    words = sorted({word for text in sentences for word in expected_words(text)})
    found = tokenize(model(words), sentences)
    for text, tokens in zip(sentences, found):
        assert [(SPECIAL + words)[token] for token in tokens] == ["[CLS]", *expected_words(text), "[SEP]"], text


@pytest.mark.parametrize("text, pieces", [
    ("unaffable", "un ##aff ##able"),
    ("unbble", "unb ##ble"),  # the longest piece first
    ("unbable", "unb ##able"),
    ("unbb", "[UNK]"),  # though it is un ##bb: no piece is taken back
    ("Unaffable", "un ##aff ##able"),
    ("unaffably", "[UNK]"),  # all of a word is unknown, or nothing
    ("affable un", "[UNK] un"),  # a piece that goes on does not begin
    ("e\u0301te\u0301", "ete"),  # accents of their own
    ("un" + "un" * 49, "un" + " ##un" * 49),  # 100 characters
    ("un" + "un" * 49 + "u", "[UNK]"),
    ("\u6f22" * 3, "\u6f22 \u6f22 \u6f22"),
    ("\u65e5\U00020000", "[UNK] \U00020000"),
    ("  ", ""),
    ("[MASK]", "[ mask ]"),
])
def test_pieces(model, tokenize, text, pieces):
    words = ["un", "##aff", "##able", "##un", "ete", "\u6f22", "\U00020000", "[", "]", "mask", "unb", "##ble", "##bb"]
    folder = model(words, config={"max_position_embeddings": 100})
    tokens, = tokenize(folder, [text])
    assert [(SPECIAL + words)[token] for token in tokens] == ["[CLS]", *pieces.split(), "[SEP]"]


def test_vocabulary_of_windows(model, tokenize):
    folder = model(["one", "two"])
    path = folder / "vocab.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")[:-2])
    assert tokenize(folder, ["one two"]) == [[2, 5, 6, 3]]
