"""Language models from where they are: a folder or name of Hugging Face's, a GGUF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samemind.errors import CheckpointError, InvalidInput, MissingExtra, UnreadableFile
from samemind.files.reading import is_file, open_regular, read_json, shown, split_name
from samemind.lazy import torch
from samemind.networks.hub import (
    Place,
    configuration,
    first_of,
    library,
    place_of,
    quiet,
    trained,
)
from samemind.networks.language import OwnPooling, TextModel, described, model_of_pair

if TYPE_CHECKING:
    from torch import nn

PREFIXES = ("hf", "gguf")
#: Any of these makes a folder one with a tokenizer; without them transformers makes an empty one.
TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "tekken.json",
    "sentencepiece.bpe.model", "spm.model", "tokenizer_config.json",
)  # fmt: skip
#: Heads that are kept; those of other tasks are left off, and hidden states are what is read.
HEADS = ("ForCausalLM", "LMHeadModel", "ForSequenceClassification", "ForConditionalGeneration")


def are_language(models: Mapping[str, Any]) -> bool:
    """Whether a model is certain to be one of language: a network with its tokenizer, or a GGUF."""
    return any(
        (isinstance(m, tuple) and len(m) == 2 and isinstance(m[0], torch.nn.Module))
        or isinstance(m, TextModel)
        or (isinstance(m, str) and split_name(m)[1].startswith("gguf:"))
        for m in models.values()
    )


def text_models(models: Mapping[str, Any], allows_download: bool = False) -> list[TextModel]:
    """References, and pairs of a network with its tokenizer, as language models in their order.

    **Raises:** `InvalidInput` for what is neither; what `open_text_model` raises.
    """
    found = []
    for name, given in models.items():
        if isinstance(given, TextModel):
            found.append(replace(given, name=name))
        elif isinstance(given, str):
            found.append(open_text_model(given, allows_download=allows_download))
        elif isinstance(given, tuple) and len(given) == 2:
            found.append(model_of_pair(name, *given))
        else:
            raise InvalidInput(
                f"'{name}' is {type(given).__name__}, a model without a tokenizer, so it reads no "
                f"texts. Give hf:FOLDER, hf:NAME, gguf:FILE, or a pair (model, tokenizer)."
            )
    names = [m.name for m in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"Two models are called '{twice[0]}'. Name them: before=hf:{twice[0]}.")
    return found


def open_text_model(reference: str, *, allows_download: bool = False) -> TextModel:
    """The language model of a reference, in evaluation mode on the CPU, in its own precision.

    **Arguments:**

    - `reference`: `hf:FOLDER`, `hf:NAME` (of a model that is on this machine, unless
      `allows_download`) or `gguf:FILE`; `NAME=REFERENCE` gives it another name.

    Nothing in a folder is executed: weights are read from safetensors, or as tensors alone.

    **Raises:** `MissingExtra` without the transformers library; `InvalidInput` for a reference that
    leads nowhere, a model without a tokenizer, or one of another kind; `CheckpointError` for
    weights that cannot be read or do not fit.
    """
    name, given = split_name(reference)
    source, _, rest = given.partition(":")
    if source not in PREFIXES or not rest:
        raise InvalidInput(
            f"'{given}' is no language model. Give hf:FOLDER, hf:NAME or gguf:FILE, or in Python a "
            f"pair (model, tokenizer)."
        )
    transformers = library("Language models", "language")
    with quiet():
        if source == "gguf":
            model = _of_gguf(transformers, rest)
        else:
            model = _of_place(transformers, place_of(rest, allows_download))
    return replace(model, name=name) if name else model


# -- folders and names


def _of_place(transformers: Any, place: Place) -> TextModel:
    config, named = configuration(transformers, place)
    cls = _class_of(transformers, config, named, place.given)
    tokenizer = _tokenizer_of(transformers, place)
    network, is_without_pooler = trained(cls, place, spared="pooler")
    sentence = _sentence_encoder(Path(place.given)) if place.is_local else _Sentence()
    if sentence.pooling is None and is_without_pooler:  # one of random weights is nobody's
        for body in (network, getattr(network, "base_model", network)):
            if getattr(body, "pooler", None) is not None:
                body.pooler = None
    note = "its pooler has no weights in the file" if is_without_pooler else ""
    return described(
        place.name,
        f"hf:{place.given}",
        network,
        tokenizer,
        own_pooling=sentence.pooling,
        context=sentence.context,
        note="; ".join(filter(None, [note, sentence.note])),
    )


def _class_of(transformers: Any, config: Any, named: str, given: str) -> Any:
    """The class of the network that was saved; without the heads that nothing is read of."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    is_vision = config.model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    if is_vision and not getattr(config, "vocab_size", None):
        raise InvalidInput(
            f"hf:{given} reads images ({named or config.model_type}), not texts. Give images as "
            f"inputs, or another model."
        )
    cls = getattr(transformers, named, None)
    if cls is not None and (named.endswith((*HEADS, "EncoderModel"))):
        return cls
    return transformers.AutoModel


def _tokenizer_of(transformers: Any, place: Place) -> Any:
    given = place.given
    if place.is_local and not any(is_file(Path(given) / name) for name in TOKENIZERS):
        raise InvalidInput(
            f"The folder {given} holds a model without a tokenizer, so no text can be read. Save "
            f"its tokenizer there (tokenizer.save_pretrained), or give (model, tokenizer)."
        )
    try:
        return transformers.AutoTokenizer.from_pretrained(given, **place.options)
    except Exception as error:
        raise InvalidInput(
            f"The tokenizer of hf:{given} cannot be read: {first_of(error)}"
        ) from None


# -- sentence encoders


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sentence:
    """What a folder of a sentence encoder says beside its network."""

    pooling: OwnPooling | None = None
    context: int | None = None
    note: str = ""


def _sentence_encoder(folder: Path) -> _Sentence:
    """How a folder of the sentence-transformers library pools; nothing where it is no such one.

    **Raises:** `InvalidInput` for a step that is not known: without it the vector is another one.
    """
    modules = folder / "modules.json"
    if not is_file(modules):
        return _Sentence()
    modes: tuple[str, ...] = ()
    dense: list[tuple[torch.Tensor, torch.Tensor | None, str]] = []
    is_normalised = False
    for step in read_json(modules):
        kind, where = str(step.get("type", "")).rpartition(".")[2], folder / str(step.get("path"))
        if kind == "Pooling":
            modes = _pooling_modes(where / "config.json")
        elif kind == "Dense":
            dense.append(_dense(where))
        elif kind == "Normalize":
            is_normalised = True
        elif kind not in ("Transformer", "Dropout"):
            raise InvalidInput(
                f"The sentence encoder in {folder} has a step '{shown(kind)}', which is not known, "
                f"so its own pooling cannot be told. Give (model, tokenizer), and another reading."
            )
    limit = folder / "sentence_bert_config.json"
    context = read_json(limit).get("max_seq_length") if is_file(limit) else None
    said = folder / "config_sentence_transformers.json"
    prompt = read_json(said).get("default_prompt_name") if is_file(said) else None
    pooling = OwnPooling(modes=modes, dense=tuple(dense), is_normalised=is_normalised)
    return _Sentence(
        pooling=pooling if modes else None,
        context=context if isinstance(context, int) else None,
        note=f"its prompt '{shown(str(prompt))}' was not put before the texts" if prompt else "",
    )


def _pooling_modes(path: Path) -> tuple[str, ...]:
    said = read_json(path)
    mode = said.get("pooling_mode")
    names = {
        "cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max",
        "mean_sqrt_len_tokens": "mean_sqrt_len", "lasttoken": "lasttoken",
        "weightedmean_tokens": "weightedmean",
    }  # fmt: skip
    if isinstance(mode, str):
        return (mode,) if mode in names.values() else ()
    return tuple(name for key, name in names.items() if said.get(f"pooling_mode_{key}"))


def _dense(folder: Path) -> tuple[torch.Tensor, torch.Tensor | None, str]:
    from safetensors.torch import load_file

    said = read_json(folder / "config.json")
    activation = str(said.get("activation_function", "")).rpartition(".")[2]
    file = folder / "model.safetensors"
    if activation not in ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid") or not is_file(file):
        raise InvalidInput(
            f"The dense layer in {folder} has the activation '{shown(activation)}' and "
            f"{'its' if is_file(file) else 'no'} weights in safetensors; it cannot be read."
        )
    held = load_file(file)
    return held["linear.weight"], held.get("linear.bias"), activation


# -- GGUF


def _of_gguf(transformers: Any, given: str) -> TextModel:
    path = Path(given)
    try:
        with open_regular(path) as stream:
            magic = stream.read(4)
    except UnreadableFile as error:
        raise InvalidInput(str(error)) from None
    if magic != b"GGUF":
        raise CheckpointError(f"{given} is no GGUF file: it begins with {magic!r}.")
    options = {"gguf_file": path.name, "local_files_only": True}
    folder = str(path.parent)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        network: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
            folder, config=config, **options, dtype=torch.float32
        ).eval()
    except ImportError:
        raise MissingExtra(
            "GGUF files need the extra 'language': pip install 'samemind[language]'."
        ) from None
    except Exception as error:  # whatever a reader makes of a file that is not what it says
        raise CheckpointError(
            f"{given} cannot be read: {first_of(error)} The transformers library reads GGUF "
            f"files of some architectures; convert others to a folder of Hugging Face's."
        ) from None
    return described(
        path.stem, f"gguf:{given}", network, tokenizer, note="dequantised from GGUF to float32"
    )
