"""Cases of files for fuzz.py: what is saved is loaded bit for bit, and a damaged file is a ValueError or a network.

Half of the files hold what training goes on with: a checkpoint with an EarlyStopping.
"""

import json
import pathlib
import tempfile

import numpy as np
from fuzz_arrays import digest
from fuzz_cases import Case
from fuzz_network import OWN, network
from fuzz_rounding import Comparison

import fastfnn as fnn
from fastfnn import checkpoint

# Where a description has a value, a damaged one may have this instead.
INSTEAD = (
    "-1", "0", "1e999", "null", "true", "[]", "{}", '""', '"relu"', "[[1]]", "3.5", "NaN", "99", '[3, "x"]', "[null]",
    '"\\u0000"', '"F32"', '{"a": 1}', "-0.0", '"float16"',
)  # fmt: skip

MARK = "the value that is replaced"


def run(case: Case, threads: int, comparison: Comparison) -> list[str]:
    """What is wrong in a case, as sentences."""
    rng = np.random.default_rng(case["seed"])
    fnn.set_num_threads(threads)
    net = network(case)
    x = rng.standard_normal((5, case["inputs"]))
    rows = rng.integers(0, 2, (5, case["outputs"])).astype(float)
    t = rng.integers(0, case["outputs"], 5) if case["loss"] == "softmax_cross_entropy" else rows
    training = bool(rng.integers(2))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / (checkpoint.FILE if training else "net.safetensors")
        if training:
            rule = fnn.Adam(fnn.schedules.Step(0.01, every=2))
            stop = fnn.EarlyStopping(monitor="loss")
            net.fit(x, t, epochs=2, batch_size=2, optimizer=rule, callbacks=[stop], checkpoint=folder)
        else:
            net.fit(x, t, epochs=1)
            net.save(path)
        twin = fnn.load(path, activations=list(OWN.values()))
        same = training or digest(twin.predict(x)) == digest(
            net.predict(x)
        )  # the best weights are those of the network
        if training:
            net = fnn.load(path, activations=list(OWN.values()))
            for each in (net, twin):
                each.partial_fit(x, t, on_divergence="warn")
        if digest(dict(twin.params)) != digest(dict(net.params)) or not same:
            return ["load: other bits than those that were saved"]
        content = path.read_bytes()
        if not case["damage"]:
            return []
        for kind in case["damage"]:
            content = damaged(content, kind, rng)
        path.write_bytes(content)
        try:
            loaded = fnn.load(path, activations=list(OWN.values()))
        except ValueError as error:
            return (
                []
                if type(error) is ValueError and path.name in str(error)
                else [f"load does not name the file: {error!r}"]
            )
        with np.errstate(all="ignore"):
            loaded.predict(np.zeros((2, loaded.layer_sizes[0])))
    return []


def damaged(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """The content of a file with damage of a kind."""
    size = len(content)
    first, last = sorted(int(i) for i in rng.integers(0, size + 1, 2))
    header_end = min(8 + int.from_bytes(content[:8], "little"), size)
    match kind:
        case "flip":  # a bit, most often of the header
            place = int(rng.integers(0, header_end if rng.random() < 0.8 else size)) if size else 0
            return (
                content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]
                if size
                else content
            )
        case "truncate":
            return content[:first]
        case "cut":
            return content[:first] + content[min(first + 9, last) :]
        case "insert":
            return content[:first] + bytes(rng.integers(0, 256, 5, np.uint8)) + content[first:]
        case "splice":
            return content[:first] + content[last:] + content[first:last]
        case "digit":  # another digit in the header: sizes, shapes and offsets
            digits = [place for place in range(8, header_end) if content[place : place + 1].isdigit()]
            if not digits:
                return content
            place = int(rng.choice(digits))
            return content[:place] + b"%d" % rng.integers(10) + content[place + 1 :]
        case _:
            return _other_header(content, header_end, rng)


def _other_header(content: bytes, end: int, rng: np.random.Generator) -> bytes:
    """The file with another value somewhere in its description, in a header of the right length."""
    try:
        header = json.loads(content[8:end])
        section = str(rng.choice([name for name in ("network", "training") if name in header["__metadata__"]]))
        told = json.loads(header["__metadata__"][section])
        holder, name = told, str(rng.choice(list(told)))
        while isinstance(holder[name], dict) and holder[name] and rng.random() < 0.8:  # of an object most often a part
            holder = holder[name]
            name = str(rng.choice(list(holder)))
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
    holder[name] = MARK
    instead = INSTEAD[int(rng.integers(len(INSTEAD)))]
    header["__metadata__"][section] = json.dumps(told).replace(json.dumps(MARK), instead)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[end:]
