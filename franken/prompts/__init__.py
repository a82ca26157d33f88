"""Questions in two languages as prompt pairs, what is wrong with them, and how answers are judged.

Knows nothing of models; tokens enter only where a gold answer's length is looked at.
"""

from franken.prompts.defects import Defect
from franken.prompts.gold import Gold
from franken.prompts.matchers import lenient, option_logit, strict_v1
from franken.prompts.pairs import (
    Prompt,
    PromptPair,
    check_prompts,
    languages_of,
    part_of,
    prompt_pairs,
)

__all__ = [
    "Defect", "Gold", "Prompt", "PromptPair", "check_prompts", "languages_of", "lenient",
    "option_logit", "part_of", "prompt_pairs", "strict_v1",
]  # fmt: skip
