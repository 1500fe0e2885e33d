"""Reading texts by two trained models: samemind beside a plain loop of the transformers library.

    python benchmarks/language.py FOLDER_OF_MINILM FILE.gguf [--texts 160] [--batch 16]

CPU seconds of one thread, interleaved: every block, the mean over tokens and the last token.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
import re
import time
from typing import Any

import torch

from samemind.execution.devices import Execution
from samemind.extraction.keeping import Kept
from samemind.extraction.tokens import Rows, block_names, encoded, read
from samemind.inputs.texts import given_texts
from samemind.networks.language import TextModel
from samemind.networks.opening_language import open_text_model


def sentences(count: int) -> list[str]:
    """English sentences of Python's own documentation."""
    text = " ".join(" ".join(pydoc_data.topics.topics.values()).split())
    found = re.findall(r"(?<=[.!?] )[A-Z][\w ,'()-]{39,198}\.", text)
    every = list(dict.fromkeys(found))
    return every[:: max(1, len(every) // count)][:count]


def by_hand(model: TextModel, texts: list[str], batch: int) -> list[torch.Tensor]:
    """What most people write: batches in the order of the texts, padded, all hidden states."""
    tokenizer: Any = model.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    found: dict[tuple[int, str], list[torch.Tensor]] = {}
    for start in range(0, len(texts), batch):
        made = tokenizer(
            texts[start : start + batch], padding=True, padding_side="right", return_tensors="pt"
        )
        with torch.no_grad():
            states = model.body(**made, output_hidden_states=True).hidden_states
        mask = made["attention_mask"][..., None].float()
        last = made["attention_mask"].sum(1) - 1
        for layer, one in enumerate(states):
            found.setdefault((layer, "mean"), []).append((one * mask).sum(1) / mask.sum(1))
            found.setdefault((layer, "last"), []).append(one[torch.arange(len(one)), last])
    return [torch.cat(parts) for parts in found.values()]


def by_samemind(model: TextModel, texts: list[str], batch: int) -> list[torch.Tensor]:
    """The same numbers as `samemind compare` makes them."""
    made = encoded(model, given_texts(texts))
    wanted = [Rows(tokens="mean"), Rows(tokens="last")]
    found, _ = read(
        model, made, wanted, block_names(model),
        execution=Execution(device="cpu", batch_size=batch), kept=Kept(),
    )  # fmt: skip
    return [torch.from_numpy(rows) for layer in found.values() for rows in layer]


def main() -> None:
    """Measures both models, and says how far the numbers of both ways are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minilm")
    parser.add_argument("gguf")
    parser.add_argument("--texts", type=int, default=160)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    texts = sentences(given.texts)
    print(f"{len(texts)} texts, batches of {given.batch}, one thread")
    for reference in (f"hf:{given.minilm}", f"gguf:{given.gguf}"):
        model = open_text_model(reference)
        best = {by_hand: float("inf"), by_samemind: float("inf")}
        for _ in range(given.rounds):
            rows = {}
            for way in best:
                start = time.process_time()
                rows[way] = way(model, texts, given.batch)
                best[way] = min(best[way], time.process_time() - start)
        apart = max(
            float((a - b).abs().max() / a.abs().max()) for a, b in zip(*rows.values(), strict=True)
        )
        print(
            f"{model.name}: by hand {best[by_hand]:.2f} s, samemind {best[by_samemind]:.2f} s, "
            f"ratio {best[by_samemind] / best[by_hand]:.2f}; largest difference {apart:.1e}"
        )


if __name__ == "__main__":
    main()
