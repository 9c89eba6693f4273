"""What GLSL cannot say of arrays of buffers, said in the disassembly of a SPIR-V module.

An accessor such as load() takes the number of its buffer. To SPIR-V that is a variable, and a variable
index needs a feature that Vulkan does not promise. So there is a copy of each such function for each
buffer that it is called for, in which the number is a constant. And views of the same buffers are said
to be that: by SPIR-V's rules, and not by GLSL's, a driver may otherwise take a store to one view for none
to another.
"""
import re

ID = re.compile(r"%\d+")


def result_of(line):
    return line.split(" = ")[0] if " = " in line else None


def words_of(line):
    """The opcode and its operands, without the result."""
    return line.split(" = ")[-1].split()


class Function:
    def __init__(self, lines):
        self.lines = lines
        self.id = result_of(lines[0])
        self.parameters = [result_of(line) for line in lines if words_of(line)[0] == "OpFunctionParameter"]

    def calls(self):
        for at, line in enumerate(self.lines):
            words = words_of(line)
            if words[0] == "OpFunctionCall":
                yield at, words[2], words[3:]


class Module:
    def __init__(self, text):
        lines = [line for line in text.splitlines()
                 if not words_of(line)[0].startswith(("OpName", "OpMemberName", "OpSource"))]
        first = next(i for i, line in enumerate(lines) if words_of(line)[0] == "OpFunction")
        self.head = lines[:first]
        self.functions, body = {}, []
        for line in lines[first:]:
            body.append(line)
            if line == "OpFunctionEnd":
                function = Function(body)
                self.functions[function.id] = function
                body = []
        self.bound = 1 + max(int(word[1:]) for line in lines for word in ID.findall(line))
        self.constants = {result_of(line) for line in self.head
                          if words_of(line)[0].startswith(("OpConstant", "OpSpecConstant"))}
        self.buffers = self.find_buffers()

    def find_buffers(self):
        """The variables that are arrays of buffers."""
        definitions = {result_of(line): words_of(line) for line in self.head if result_of(line)}
        found = set()
        for name, (opcode, *operands) in definitions.items():
            if opcode == "OpVariable" and operands[1] == "StorageBuffer":
                pointed = definitions[operands[0]][2]
                if definitions[pointed][0] == "OpTypeArray":
                    found.add(name)
        return found

    def numbers(self, function):
        """What picks the buffer, in each of the function's accesses."""
        return [words[3] for words in map(words_of, function.lines)
                if words[0] in ("OpAccessChain", "OpInBoundsAccessChain") and words[2] in self.buffers]

    def find_numbered(self):
        """For each function the places of the parameters that pick a buffer, in it or further down."""
        places = {name: set() for name in self.functions}
        grown = True
        while grown:
            grown = False
            for name, function in self.functions.items():
                picks = set(self.numbers(function))
                for _, callee, arguments in function.calls():
                    picks.update(arguments[place] for place in places[callee])
                found = {i for i, parameter in enumerate(function.parameters) if parameter in picks}
                grown |= found != places[name]
                places[name] = found
        return places

    def copy(self, function, constants):
        """The function with constants for some parameters, and the decorations of what is in it."""
        new = {}
        for line in function.lines:
            if result_of(line):
                new[result_of(line)] = f"%{self.bound}"
                self.bound += 1
        declared = [new[parameter] for parameter in function.parameters]
        new.update({function.parameters[place]: value for place, value in constants})
        lines = [ID.sub(lambda match: new.get(match[0], match[0]), line) for line in function.lines]
        places = [i for i, line in enumerate(function.lines)
                  if words_of(line)[0] == "OpFunctionParameter"]
        for place, name in zip(places, declared):
            lines[place] = f"{name} = {lines[place].split(' = ')[1]}"
        decorated = [line.split() for line in self.head]
        self.head += [" ".join([word[0], new[word[1]], *word[2:]]) for word in decorated
                      if word[0] == "OpDecorate" and word[1] in new]
        return Function(lines)

    def specialize(self):
        numbered = self.find_numbered()
        entry = next(line.split()[2] for line in self.head if line.startswith("OpEntryPoint"))
        made, todo = {}, [self.functions[entry]]
        done = []
        while todo:
            function = todo.pop()
            done.append(function)
            for at, callee, arguments in list(function.calls()):
                constants = tuple((place, arguments[place]) for place in sorted(numbered[callee]))
                if (callee, constants) not in made:
                    whole = self.functions[callee]
                    made[callee, constants] = self.copy(whole, constants) if constants else whole
                    todo.append(made[callee, constants])
                called = made[callee, constants].id
                words = function.lines[at].split()
                function.lines[at] = " ".join([*words[:4], called, *words[5:]])
        dropped = {result_of(line) for function in self.functions.values()
                   if function not in done for line in function.lines}
        self.head = [line for line in self.head
                     if not line.startswith("OpDecorate") or line.split()[1] not in dropped]
        self.functions = {function.id: function for function in done}

    def text(self):
        """With the decorations where a module has them, ahead of the types."""
        annotations = [line for line in self.head if line.startswith(("OpDecorate", "OpMemberDecorate"))]
        rest = [line for line in self.head if line not in set(annotations)]
        before = next(i for i, line in enumerate(rest) if words_of(line)[0].startswith("OpType"))
        lines = rest[:before] + annotations + rest[before:]
        return "\n".join(lines + [line for function in self.functions.values() for line in function.lines])


def prepare(text):
    module = Module(text)
    module.specialize()
    module.head += [f"OpDecorate {name} Aliased" for name in sorted(module.buffers)]
    return module.text() + "\n"


def find_unordered(function):
    """What host/vulkan/specialize.c, which reads a function once, could not follow; None: nothing."""
    seen, loops, last = set(), set(), None
    for line in function.lines:
        opcode, *operands = words_of(line)
        if opcode == "OpLabel":
            last = result_of(line)
            seen.add(last)
        elif opcode == "OpLoopMerge":
            loops.add(last)
        elif opcode in ("OpSwitch", "OpKill", "OpTerminateInvocation"):
            return f"a block ends by {opcode}"
        elif opcode in ("OpBranch", "OpBranchConditional") and not loops.issuperset(seen.intersection(operands)):
            return "a block branches back, but not to a loop's beginning"
    return None


def find_fault(text, capabilities):
    """What a device with no more than these capabilities could refuse; None: nothing."""
    module = Module(text)
    for line in module.head:
        if line.startswith("OpCapability") and line.split()[1] not in capabilities:
            return f"needs {line.split()[1]}"
        if line.startswith("OpExtension"):
            return f"needs {line}"
    for function in module.functions.values():
        if not module.constants.issuperset(module.numbers(function)):
            return "the number of a buffer is not a constant"
        fault = find_unordered(function)
        if fault:
            return fault
    for name in module.buffers:
        if f"OpDecorate {name} Aliased" not in module.head:
            return "views of a buffer are not said to be the same memory"
    return None
