"""What SPIR-V modules have in common, kept once.

Variants of a kernel, and kernels of one skeleton, are mostly the same functions, but the ids in them
differ all over as soon as one function has an instruction more. So all modules get their ids anew:
what is the same in two modules has the same ids in both. Then a module is a list of pieces, runs of
words out of one pool, in which each run that comes again is kept once.
"""
import collections
import hashlib
import struct

from spirv_buffers import ID, Module, result_of

# A run shorter than this is kept again rather than found again: a piece is two words itself.
SHORTEST = 16


def entities(text):
    """What has ids in a module: pairs of what it is, told apart from all else in the module, and its
    ids. A function has those of all its lines, and is the same whatever it calls."""
    module = Module(text)
    decorations = collections.defaultdict(list)
    for line in module.head:
        if line.startswith(("OpDecorate", "OpMemberDecorate")):
            word, target, rest = line.split(None, 2)
            decorations[target].append(f"{word} {rest}")
    outer, found, seen = {}, [], collections.Counter()

    def add(lines, ids):
        own = {name: f"${at}" for at, name in enumerate(ids)}

        def meaning(match):
            return own.get(match[0]) or outer.get(match[0], "?")

        said = [ID.sub(meaning, line) for name in ids for line in sorted(decorations[name])]
        said += [ID.sub(meaning, line) for line in lines]
        digest = hashlib.sha256("\n".join(said).encode()).hexdigest()
        seen[digest] += 1
        key = f"{digest}.{seen[digest]}"
        found.append((key, ids))
        return key

    for line in module.head:
        if result_of(line):
            outer[result_of(line)] = add([line], [result_of(line)])
    for function in module.functions.values():
        add(function.lines, [result_of(line) for line in function.lines if result_of(line)])
    return found


def lowest_gap(taken, count):
    """The first of `count` neighbouring bits that are all 0."""
    at = 0
    while taken >> at:
        rest = taken >> at
        free = (rest & -rest).bit_length() - 1
        if free >= count:
            break
        rest >>= free
        at += free + (~rest & (rest + 1)).bit_length() - 1
    return at


def number_alike(texts):
    """The disassemblies with other ids. The highest is little higher than it must be: drivers make
    tables of as many entries."""
    modules = [entities(text) for text in texts]
    owners, sizes = collections.defaultdict(list), {}
    for at, found in enumerate(modules):
        for key, ids in found:
            owners[key].append(at)
            sizes[key] = len(ids)
    taken, first = [1] * len(texts), {}  # there is no id 0
    for key in sorted(owners, key=lambda key: (-len(owners[key]), -sizes[key])):
        together = 0
        for at in owners[key]:
            together |= taken[at]
        first[key] = lowest_gap(together, sizes[key])
        for at in owners[key]:
            taken[at] |= (1 << sizes[key]) - 1 << first[key]
    numbered = []
    for text, found in zip(texts, modules):
        new = {name: f"%{first[key] + i}" for key, ids in found for i, name in enumerate(ids)}
        numbered.append(ID.sub(lambda match: new[match[0]], text))
    return numbered


def words_of(code):
    return struct.unpack(f"<{len(code) // 4}I", code)


class Pool:
    def __init__(self):
        self.words = []
        self.places = {}  # where each run of the shortest length began first

    def add(self, words):
        at = len(self.words)
        self.words += words
        for i in range(max(0, at - SHORTEST + 1), len(self.words) - SHORTEST + 1):
            self.places.setdefault(tuple(self.words[i:i + SHORTEST]), i)
        return at, len(words)

    def length(self, at, words, start):
        """How many words are the same as those of the pool from `at` on."""
        count = SHORTEST
        while (start + count < len(words) and at + count < len(self.words)
               and words[start + count] == self.words[at + count]):
            count += 1
        return count

    def pieces(self, words):
        """The module in pieces (from, count); what the pool lacks is added to it."""
        found, begun, i = [], 0, 0
        while i < len(words):
            at = self.places.get(words[i:i + SHORTEST])
            if at is None:
                i += 1
                continue
            if begun < i:
                found.append(self.add(words[begun:i]))
            count = self.length(at, words, i)
            found.append((at, count))
            i += count
            begun = i
        if begun < len(words):
            found.append(self.add(words[begun:]))
        if [word for at, count in found for word in self.words[at:at + count]] != list(words):
            raise AssertionError("a module is not its pieces")
        return found
