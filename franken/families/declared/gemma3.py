"""Multimodal Gemma 3: files written before transformers 5 put the text tower first."""

DECLARED = {
    "gemma3": {
        "aliases": {
            "model.language_model.embed_tokens.weight": (
                "language_model.model.embed_tokens.weight",
            ),
            "lm_head.weight": ("language_model.lm_head.weight",),
        }
    }
}
