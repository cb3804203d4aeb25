"""Models that are broken, or made to hurt: all are refused in one line, and none runs code."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import torch
from odd_files.odd_case import Case, both, links, writes
from safetensors import safe_open
from safetensors.torch import save_file

from geoseg.nn.bundle import _checksum

PREDICT = "predict scene.tif -o out.tif -m odd.safetensors"
IMPORT = "import odd.pt -o out.safetensors --arch linear"


class Burglar:
    """Makes the file `burgled` when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)


def header(text, tail=b""):
    """A safetensors file of this header."""
    data = text.encode() if isinstance(text, str) else text
    return writes("odd.safetensors", struct.pack("<Q", len(data)) + data + tail)


def changed(change, *, signed=True):
    """The good bundle with a changed card, and the checksum that belongs to it if `signed`."""

    def make(folder):
        with safe_open(folder / "model.safetensors", "pt") as file:
            card = json.loads(file.metadata()["geoseg"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        change(card)
        if signed:
            card["checksum"] = ""
            card["checksum"] = _checksum(json.dumps(card), "", tensors)
        save_file(tensors, folder / "odd.safetensors", {"geoseg": json.dumps(card)})

    return make


def key(*path, value, signed=True):
    """Sets one key of a card."""

    def change(card):
        for name in path[:-1]:
            card = card[name]
        card[path[-1]] = value

    return changed(change, signed=signed)


def saved(content, name="odd.pt", **more):
    return lambda folder: torch.save(content, folder / name, **more)


def repacked(change=None, compress=zipfile.ZIP_STORED, extra=()):
    """What torch saved, with a changed pickle, other records or compressed."""

    def make(folder):
        whole = io.BytesIO()
        torch.save({"weight": torch.zeros(4)}, whole)
        with (
            zipfile.ZipFile(whole) as old,
            zipfile.ZipFile(folder / "odd.pt", "w", compress) as new,
        ):
            for name in old.namelist():
                data = old.read(name)
                if name.endswith("data.pkl") and change is not None:
                    assert change(data) != data
                    data = change(data)
                new.writestr(name, data)
            for name, data in extra:
                new.writestr(name, data)

    return make


def spread(data):
    """Four numbers declared as 2^28 of them, all the first one."""
    return data.replace(b"K\x04\x85q\x08K\x01\x85", b"J\0\0\0\x10\x85q\x08K\x00\x85")


def overlapping(folder, count=200, size=1 << 22):
    """An archive in which two hundred records are one and the same 4 MiB."""
    name, body = b"a/data/0", bytes(size)
    whole = struct.pack(
        "<IHHHHHIIIHH", 0x04034B50, 10, 0, 0, 0, 0, zlib.crc32(body), size, size, len(name), 0
    )
    whole += name + body
    entry = struct.Struct("<IHHHHHHIIIHHHHHII")
    start = len(whole)
    for number in range(count):
        name = b"a/data/%d" % number
        fields = (10, 10, 0, 0, 0, 0, zlib.crc32(body), size, size, len(name), 0, 0, 0, 0, 0, 0)
        whole += entry.pack(0x02014B50, *fields) + name
    end = (0, 0, count, count, len(whole) - start, start, 0)
    whole += struct.pack("<IHHHHIIH", 0x06054B50, *end)
    (folder / "odd.pt").write_bytes(whole)


def program(folder):
    """An archive with what makes it a program, by its name alone."""
    with zipfile.ZipFile(folder / "odd.pt", "w") as archive:
        archive.writestr("a/constants.pkl", b"\x80\x02).")


def onnx(change):
    """The smallest graph, changed."""

    def make(folder):
        from onnx import TensorProto, helper, save

        node = helper.make_node("Identity", ["a"], ["b"])
        ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 16, 16]) for n in "ab"]
        model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))
        with safe_open(folder / "model.safetensors", "pt") as file:
            card = file.metadata()["geoseg"]
        note = {"format_version": 1, "divisor": 1.0, "weights": "0" * 64}
        for name, text in (("geoseg", card), ("geoseg_export", json.dumps(note))):
            entry = model.metadata_props.add()
            entry.key, entry.value = name, text
        change(model, TensorProto)
        save(model, folder / "odd.onnx")

    return make


def outside(model, proto):
    tensor = model.graph.initializer.add(name="w", data_type=proto.FLOAT, dims=[4])
    tensor.data_location = proto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def plugin(model, proto):
    model.graph.node[0].domain = "evil"


def loop(model, proto):
    attribute = model.graph.node[0].attribute.add(name="body")
    attribute.g.name = "inner"


def vast(model, proto):
    model.graph.initializer.add(name="w", data_type=proto.FLOAT, dims=[2**40, 2**20])


ONNX = "predict scene.tif -o out.tif -m odd.onnx"
LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))
XML = "predict scene.tif -o out.tif -m odd.xml"
ARRAY = b"\x80\x02cbuiltins\nbytearray\n(J\0\0\0\x7ftR."
WIDE = {"F": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
TWICE = {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "ab"}

CASES = [
    Case("bundle of no bytes", writes("odd.safetensors", b""), PREDICT, ("is empty",)),
    Case("bundle of a header only", header("{}"), PREDICT, ("odd.safetensors: ",)),
    Case("header of deep brackets", header("[" * 10**6), PREDICT, ("is no model bundle",)),
    Case("header of deep braces", header('{"a":' * 10**6), PREDICT, ("is damaged",)),
    Case("header larger than it may be", header("{" + " " * (40 << 20)), PREDICT, ("header of",)),
    Case(
        "header of a million entries",
        header('{"__metadata__":{' + ",".join(f'"{n}":""' for n in range(10**6)) + "}}"),
        PREDICT,
        ("no card of geoseg",),
    ),
    Case("weights of four TiB", header(json.dumps(WIDE), bytes(64)), PREDICT, ("is damaged",)),
    Case("weights that overlap", header(json.dumps(TWICE), bytes(16)), PREDICT, ("is damaged",)),
    Case(
        "bundle that is a link to a device", links("odd.safetensors", "/dev/zero"), PREDICT, ("",)
    ),
    Case(
        "card of deep brackets",
        header(json.dumps({"__metadata__": {"geoseg": "[" * 10**6}})),
        PREDICT,
        ("its card is no JSON",),
    ),
    Case(
        "card with a number of 5000 digits",
        header(json.dumps({"__metadata__": {"geoseg": '{"format_version":' + "9" * 5000 + "}"}})),
        PREDICT,
        ("its card is no JSON",),
    ),
    Case("card of a later format", key("format_version", value=99), PREDICT, ("version 99",)),
    Case("card of no format", key("format_version", value="1"), PREDICT, ("no format version",)),
    Case("card without bands", key("bands", value=[]), PREDICT, ("its card is wrong",)),
    Case("card with a window of 2^40", key("window", value=2**40), PREDICT, ("window",)),
    Case("card with a scale of NaN", key("resolution", value=float("nan")), PREDICT, ("resol",)),
    Case("card of an unknown network", key("spec", "arch", value="evil"), PREDICT, ("evil",)),
    Case(
        "card of a path for a network", key("spec", "arch", value="../../x"), PREDICT, ("../../x",)
    ),
    Case(
        "card of a vast network",
        key(
            "spec",
            value={
                "arch": "unet_classic",
                "in_channels": 3,
                "classes": 2,
                "options": {"width": 2**30},
            },
        ),
        PREDICT,
        ("odd.safetensors: ",),
    ),
    Case(
        "card of a network as deep as can be",
        key(
            "spec",
            value={
                "arch": "unet",
                "encoder": "resnet18",
                "in_channels": 3,
                "classes": 2,
                "options": {"encoder_depth": 10**9, "decoder_channels": [10**9] * 99},
            },
        ),
        PREDICT,
        ("odd.safetensors: ",),
    ),
    Case("card without a class", key("legend", "classes", value=[]), PREDICT, ("legend",)),
    Case("card changed by somebody", key("window", value=8, signed=False), PREDICT, ("checksum",)),
    Case("legend of a card that is none", key("legend", value={"classes": 7}), PREDICT, ("le",)),
    Case("pickle for a bundle", saved(Burglar(), "odd.safetensors"), PREDICT, ("is a pickle",)),
    Case("import of a burglar", saved({"state_dict": Burglar()}), IMPORT, ("could run code",)),
    Case(
        "import of an old burglar",
        lambda folder: (folder / "odd.pt").write_bytes(pickle.dumps(Burglar())),
        IMPORT,
        ("odd.pt: ",),
    ),
    Case(
        "import of a burglar of the old form",
        saved({"a": Burglar()}, _use_new_zipfile_serialization=False),
        IMPORT,
        ("could run code",),
    ),
    Case("import of no bytes", writes("odd.pt", b""), IMPORT, ("is empty",)),
    Case("import of a program", program, IMPORT, ("TorchScript",)),
    Case(
        "import of a decompression bomb",
        repacked(compress=zipfile.ZIP_DEFLATED, extra=[("archive/data/9", bytes(64 << 20))]),
        IMPORT,
        ("compressed records",),
    ),
    Case("import of records in one another", overlapping, IMPORT, ("lie in one another",)),
    Case("import of four numbers as a GiB", repacked(spread), IMPORT, ("its weight weight of",)),
    Case("import of memory asked for", writes("odd.pt", ARRAY), IMPORT, ("bytearray",)),
    Case("import of a cut archive", writes("odd.pt", b"PK\x03\x04" + bytes(99)), IMPORT, ("odd",)),
    Case("import of a list", saved([1, 2, 3]), IMPORT, ("holds no weights by name",)),
    Case("import of weights that are no numbers", saved({"a": "b"}), IMPORT, ("no weights",)),
    Case("ONNX of weights elsewhere", onnx(outside), ONNX, ("weights of other files",)),
    Case("ONNX of a plug-in", onnx(plugin), ONNX, ("not those of ONNX itself",)),
    Case("ONNX of a loop", onnx(loop), ONNX, ("branches or loops",)),
    Case("ONNX of weights of 2^60", onnx(vast), ONNX, ("its output is",)),
    Case("ONNX of noise", writes("odd.onnx", bytes(range(256)) * 9), ONNX, ("no ONNX file",)),
    Case("ONNX of no bytes", writes("odd.onnx", b""), ONNX, ("odd.onnx: ",)),
    Case(
        "OpenVINO with laughs",
        both(writes("odd.xml", f"<!DOCTYPE a [{LAUGHS}]><net>&a11;</net>"), writes("odd.bin", b"")),
        XML,
        ("declares entities",),
    ),
    Case(
        "OpenVINO of fifteen million tags",
        both(writes("odd.xml", f"<net>{'<a/>' * (15 << 20)}</net>"), writes("odd.bin", b"")),
        XML,
        ("odd.xml: ",),
    ),
    Case(
        "OpenVINO of no card",
        both(writes("odd.xml", "<net><layers/></net>"), writes("odd.bin", b"")),
        XML,
        ("no card of geoseg",),
    ),
]
