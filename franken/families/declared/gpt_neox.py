"""GPT-NeoX: files call the head ``embed_out``, before and after transformers 5."""

DECLARED = {"gpt_neox": {"aliases": {"lm_head.weight": ("embed_out.weight",)}}}
