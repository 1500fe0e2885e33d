"""Tiny language models of random weights, with a tokenizer each, made on the spot."""

from __future__ import annotations

import warnings
from typing import Any

import torch

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Models that think alike need not look alike!",
    "A short one.",
    "Numbers such as 3.14159 and 2,718 are words too, are they not?",
    "Zürich, naïve café; coöperate.",
    "Emojis 😀 and 👩‍🔬 are characters like any other.",
    "你好，世界。これは文です。",
    "Привет, мир! Это предложение.",
    "One more text, to have a few of them.",
    "And the last of the ten is about as long as the others are.",
)


def wordpiece(vocabulary: int = 200) -> Any:
    """A WordPiece tokenizer of BERT's kind, trained on the texts."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special)
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def byte_level(vocabulary: int = 300, *, pad: str | None = None) -> Any:
    """A byte-level tokenizer of GPT-2's kind; it has no token for padding unless named."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        ),
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", bos_token="<|endoftext|>", pad_token=pad
    )


def sentencepiece(vocabulary: int = 200) -> Any:
    """A unigram tokenizer of T5's and Llama's kind, with ▁ for spaces and </s> at the end."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(
            vocab_size=vocabulary, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
            show_progress=False,
        ),
    )  # fmt: skip
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def network(kind: str, vocabulary: int = 400, seed: int = 0, **further: Any) -> Any:
    """A network of random weights: 'bert', 'roberta', 'gpt2', 'llama', 't5', or a classifier."""
    import transformers as hf

    size = {"vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": 3,
            "num_attention_heads": 4, "intermediate_size": 48}  # fmt: skip
    plain = {"bos_token_id": None, "eos_token_id": None}
    made = {
        "bert": lambda: hf.BertModel(hf.BertConfig(**size, **further)),
        "roberta": lambda: hf.RobertaModel(
            hf.RobertaConfig(**size, max_position_embeddings=130, pad_token_id=1, **further)
        ),
        "gpt2": lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(
                vocab_size=vocabulary,
                n_embd=32,
                n_layer=3,
                n_head=4,
                n_positions=128,
                **plain,
                **further,
            )
        ),
        "llama": lambda: hf.LlamaForCausalLM(
            hf.LlamaConfig(
                **size,
                num_key_value_heads=2,
                max_position_embeddings=128,
                **plain,
                pad_token_id=None,
                **further,
            )
        ),
        "t5": lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=vocabulary,
                d_model=32,
                d_kv=8,
                d_ff=48,
                num_layers=3,
                num_heads=4,
                decoder_start_token_id=0,
                **further,
            )
        ),
        "bert classifier": lambda: hf.BertForSequenceClassification(
            hf.BertConfig(**size, **further)
        ),
        "gpt2 classifier": lambda: hf.GPT2ForSequenceClassification(
            hf.GPT2Config(
                vocab_size=vocabulary,
                n_embd=32,
                n_layer=3,
                n_head=4,
                n_positions=128,
                **plain,
                **further,
            )
        ),
    }
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return made[kind]().eval()


TOKENIZERS = {
    "bert": wordpiece,
    "roberta": wordpiece,
    "gpt2": byte_level,
    "llama": byte_level,
    "t5": sentencepiece,
}
