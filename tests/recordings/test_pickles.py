"""Pickles and PyTorch files against pickle, NumPy and PyTorch themselves."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.pickles import StoredArray, read_pickle
from neuroalign.recordings.torch_files import read_torch

BIG = (40, 3, 7, 30)  # 200 kB as float64: more than stays inline


def content() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "big": rng.normal(size=BIG),
        "single": rng.normal(size=BIG).astype(np.float32),
        "names": ["Pz", "Oz"],
        "times": np.arange(5) / 100,
        "words": np.array(["a", "bcd"]),
        "objects": np.array(["a", None, (1, 2.5)], dtype=object),
        "scalar": np.float64(0.25),
        "nested": ({"x": [1, True, None, b"bytes", "\u00e9"]}, ()),
    }


def check(found: Any, expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for key in ("big", "single"):
        assert isinstance(found[key], StoredArray)
        np.testing.assert_array_equal(found[key].read(), expected[key])
        assert found[key].read().dtype == expected[key].dtype
        for start, stop in ((0, 1), (7, 19), (39, 40), (5, 5)):
            part = found[key].part(start, stop).read()
            np.testing.assert_array_equal(part, expected[key][start:stop])
    for key in ("times", "words"):
        np.testing.assert_array_equal(found[key], expected[key])
    assert found["objects"].tolist() == expected["objects"].tolist()
    assert found["scalar"] == 0.25
    assert found["names"] == ["Pz", "Oz"]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_each_protocol(tmp_path: Path, protocol: int, order: str) -> None:
    expected = content()
    expected["big"] = np.asarray(expected["big"], order=order)  # type: ignore[call-overload]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(expected, protocol))
    check(read_pickle(tmp_path / "a.pkl"), expected)


def test_what_numpy_saves_of_an_object(tmp_path: Path) -> None:
    expected = content()
    np.save(tmp_path / "a.npy", expected)  # type: ignore[arg-type]
    check(read_pickle(tmp_path / "a.npy"), expected)
    np.save(tmp_path / "plain.npy", expected["big"])
    np.testing.assert_array_equal(read_pickle(tmp_path / "plain.npy").read(), expected["big"])


def test_numbers_as_text_are_read_while_they_are_small(tmp_path: Path) -> None:
    expected = {"big": content()["big"], "names": ["Pz"]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(expected, 2))
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pkl")["big"], expected["big"])
    header = b"\x80\x02X" + (2**28 + 1).to_bytes(4, "little")
    (tmp_path / "large.pkl").write_bytes(header)
    with pytest.raises(NeuroalignError, match=r"as text.*protocol 4"):
        read_pickle(tmp_path / "large.pkl")


def test_a_large_array_of_the_wrong_order_is_refused(tmp_path: Path) -> None:
    # Not written: only its place is known, and reading it is refused before it is tried.
    stored = StoredArray(tmp_path / "a", 0, np.dtype("f8"), (1000, 10**6), (1, 1000))
    with pytest.raises(NeuroalignError, match="Fortran order"):
        stored.part(0, 4).read()


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self._made_of = function, arguments

    def __reduce__(self) -> Any:
        return self._made_of


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (_Runs(os.system, "true"), "system"),
        (_Runs(eval, "1 + 1"), "eval"),
        (_Runs(getattr, [], "append"), "getattr"),
        (_Runs(np.load, "x"), "load"),
        (_Runs(np.memmap, "x"), "memmap"),
        (_Runs(bytearray, 10**12), "bytearray"),
        (Path("x"), "pathlib"),
        (np.random.default_rng, "numpy.random"),
    ],
    ids=["system", "eval", "getattr", "load", "memmap", "bytearray", "path", "generator"],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_whatever_it_wants_to_import_is_refused_by_name(
    tmp_path: Path, value: Any, name: str, protocol: int
) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": [value]}, protocol))
    with pytest.raises(NeuroalignError, match=f"wants to import .*{name}"):
        read_pickle(path)
    np.save(tmp_path / "a.npy", {"a": [value]})  # type: ignore[arg-type]
    with pytest.raises(NeuroalignError, match="wants to import"):
        read_pickle(tmp_path / "a.npy")
    for new in (True, False):
        torch.save({"a": [value]}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(NeuroalignError, match=f"wants to import .*{name}"):
            read_torch(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01", b"plain text", b"\x80\x04.", b"PK\x03\x04"]
)
def test_what_is_none_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    for read in (read_pickle, read_torch):
        with pytest.raises(NeuroalignError, match=str(path)):
            read(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_anywhere_there_is_an_error_or_plain_data(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "a"
    expected = content()
    form = data.draw(st.sampled_from(["pickle", "npy", "old", "new"]))
    if form == "pickle":
        path.write_bytes(pickle.dumps([*expected["objects"].tolist(), expected["big"]], 4))
    elif form == "npy":
        with path.open("wb") as file:
            np.save(file, {"big": expected["big"]})  # type: ignore[arg-type]
    else:
        tensors = {"x": torch.arange(300.0).reshape(3, 100), "y": [torch.zeros(4), "z"]}
        torch.save(tensors, path, _use_new_zipfile_serialization=form == "new")
    raw = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, min(len(raw), 700) - 1))
    if data.draw(st.booleans()):
        raw = raw[:where]
    else:
        raw[where] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    read = read_pickle if form in ("pickle", "npy") else read_torch
    try:
        read(path)
    except NeuroalignError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("new", [True, False])
def test_tensors_are_those_of_pytorch(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "a.pth"
    base = torch.arange(24.0).reshape(4, 6)
    saved = {
        "whole": base,
        "transposed": base.t(),
        "view": base[1:3, 2:5],
        "steps": base[::2, ::3],
        "double": base.double(),
        "half": base.half(),
        "long": torch.tensor([1, -2]),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "grad": base.clone().requires_grad_(),
        "rest": [1, 2.5, "x", None, (True, b"y")],
    }
    torch.save(saved, path, _use_new_zipfile_serialization=new)
    expected, found = torch.load(path, weights_only=True), read_torch(path)
    for key, tensor in expected.items():
        if key == "rest":
            assert found[key] == tensor
            continue
        np.testing.assert_array_equal(found[key].read(), tensor.detach().numpy(), strict=True)
        if tensor.ndim and len(tensor) > 1:
            part = found[key].part(1, 3).read()
            np.testing.assert_array_equal(part, tensor.detach()[1:3].numpy())
