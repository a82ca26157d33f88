"""A small WordPiece tokenizer, as BERT's: cased or not."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.init_method.texts import ENGLISH, SWAHILI

ROLES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def wordpiece_tokenizer(*, lowercase: bool = False, size: int = 300) -> PreTrainedTokenizerFast:
    """Trained on a few sentences; pieces inside a word are spelled ``##piece``."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(ROLES.values()), show_progress=False
    )
    backend.train_from_iterator([*ENGLISH, *SWAHILI], trainer)
    named = {f"{role}_token": token for role, token in ROLES.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)
