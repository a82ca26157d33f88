"""Families whose attention and feed-forward block read the same input and are added together."""

DECLARED = {
    family: {"parallel": True} for family in ("cohere", "cohere2", "phi", "gptj", "codegen")
}
