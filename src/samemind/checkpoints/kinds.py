"""What kind of file lies in the place of a checkpoint, by what it begins with, and what to do."""

from __future__ import annotations

import zipfile
from pathlib import Path

from samemind.errors import UnreadableFile
from samemind.files.reading import open_regular, read_json

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
"""What files of torch.save begin with: those of today, and those of before PyTorch 1.6."""

TORCH_NUMBER = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The number that torch.save pickles first, before PyTorch 1.6."""

STARTS = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"MATLAB 5.0", "matlab"),
    (b"\x93NUMPY", "numpy"),
    (b"GGUF", "gguf"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
    (b"version https://git-lfs", "lfs"),
)
ARRAYS = (
    "Save the outputs of its network on your inputs as arrays (.npy, .npz) and compare those with "
    "`samemind compare --activations`"
)
PROGRAM_FILES = {"torchscript": "a TorchScript archive", "exported": "a program of torch.export"}
"""Kinds of files that are read as networks, where they are trusted; see samemind.networks."""
_PROGRAM = (
    "and to read it would run code that it brings. If you trust its source, `samemind compare "
    "--trust` (in Python, trust=True) compares the network that it is; or write its weights out in "
    "Python,"
)
UNPACK = "Unpack it and name the file in it"
PACKED = {"gzip": "gzip -dk", "bzip2": "bzip2 -dk", "xz": "xz -dk", "zstd": "zstd -d"}


def kind_of(path: Path) -> str:
    """The kind of a file: 'torch', 'legacy', 'safetensors', or one that is not read; else ''."""
    with open_regular(path) as file:
        start = file.read(512)
    if not start:
        return "empty"
    if start.startswith(ZIP):
        return _kind_of_zip(path)
    if is_safetensors(start, path.stat().st_size):
        return "safetensors"
    for mark, kind in STARTS:
        if start.startswith(mark):
            return kind
    if start[257:262] == b"ustar":
        return "tar"
    if start.startswith(PICKLE):
        return "legacy" if TORCH_NUMBER in start[:40] else "pickle"
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "page"
    if text.startswith((b"{", b"[")):
        return "json"
    # A protocol buffer whose first field is a small version, as ONNX writes it.
    if start[0] == 8 and 0 < start[1] < 32 and path.suffix.lower() == ".onnx":
        return "onnx"
    if path.suffix.lower() == ".msgpack":
        return "msgpack"
    return ""


def is_safetensors(start: bytes, size: int) -> bool:
    """Whether bytes are the start of a safetensors file: the length of its header, and that."""
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and start[9:10] in b'"}\n \t' and 2 <= length <= size


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as held:
            names = held.namelist()
    except Exception:  # what is damaged is told by those who read it
        return "torch"
    ends = {name.rpartition("/")[2] for name in names}
    if "model.weights.h5" in ends:
        return "keras"
    if "constants.pkl" in ends and any("/code/" in f"/{name}" for name in names):
        return "torchscript"
    if "archive_format" in ends or any("/models/" in n and n.endswith(".json") for n in names):
        return "exported"
    if "data.pkl" in ends:
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "numpy"
    return "zip"


def what_to_do(path: Path) -> str:
    """A sentence on the kind of a file that holds no weights that are read, and one on a way out.

    '' for a kind that is read, whatever is wrong with it.
    """
    kind, name = kind_of(path), path.name
    if kind in PACKED:
        return f"it is packed with {kind}. Unpack it, `{PACKED[kind]} {name}`, and name what comes"
    said = {
        "empty": "it is empty. Fetch it again, or save the network's state_dict() there",
        "hdf5": f"it is an HDF5 file, as Keras and h5py write them. {ARRAYS}",
        "keras": f"it is a Keras file. {ARRAYS}",
        "matlab": f"it is a MATLAB file. {ARRAYS}",
        "onnx": f"it is an ONNX file. {ARRAYS}",
        "gguf": f"it is a GGUF file of llama.cpp. {ARRAYS}",
        "msgpack": f"it is a file of Flax. {ARRAYS}",
        "numpy": "it is a file of NumPy arrays. Activations are compared with `samemind compare "
        "--activations`; weights are saved with torch.save, as tensors by name",
        "torchscript": f"it is a TorchScript archive, {_PROGRAM} torch.save("
        f"torch.jit.load('{name}').state_dict(), 'weights.pt'), and name that file",
        "exported": f"it is a program of torch.export, {_PROGRAM} torch.save("
        f"torch.export.load('{name}').state_dict, 'weights.pt'), and name that file",
        "tar": f"it is a tar archive. {UNPACK}: `tar -xf {name}`",
        "zip": f"it is a zip archive of other files. {UNPACK}: `unzip {name}`",
        "7z": f"it is a 7z archive. {UNPACK}",
        "rar": f"it is a RAR archive. {UNPACK}",
        "lfs": "it is a pointer of Git LFS, not the file. Fetch that with `git lfs pull`",
        "page": "it is a web page, as a failed download leaves it. Fetch the file itself",
        "json": "it is a JSON file. Name the file or the folder that has the weights",
        "": _begins(path),
    }
    return said.get(kind, "")


def _begins(path: Path) -> str:
    with open_regular(path) as file:
        first = file.read(40).split(b"\n", 1)[0]
    return (
        f"it is no file that torch.save or safetensors wrote, it begins with "
        f"{first.decode('latin-1')!a}. Fetch it again, or save the network's state_dict() there"
    )


# -- folders


INDEX = ".index.json"
SINGLE = ("model.safetensors", "pytorch_model.bin", "model.pt", "pytorch_model.pt")


def index_of(path: Path) -> dict[str, str] | None:
    """Name of a weight → name of the file that has it, of an index of shards; None for others."""
    try:
        held = read_json(path)
    except UnreadableFile:
        return None
    found = held.get("weight_map") if isinstance(held, dict) else None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        return None
    return found


def folder_says(path: Path) -> str:
    """What a folder without weights is, and what to do."""
    names = sorted(p.name for p in path.iterdir())
    if ".metadata" in names and any(n.endswith(".distcp") for n in names):
        return (
            f"it is a distributed checkpoint of PyTorch. Make one file of it, `python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {path} weights.pt`, and name "
            f"that"
        )
    if "saved_model.pb" in names or any(n.endswith(".ckpt.index") for n in names):
        return f"it is a folder of TensorFlow. {ARRAYS}"
    inside = [n for n in names if n.endswith((".pt", ".pth", ".bin", ".ckpt", ".safetensors"))]
    if inside:
        some = ", ".join(inside[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else "")
        return f"it is a folder. Name one of its files: {some}"
    return "it is a folder without weights. Name a checkpoint file"
