"""Which text pieces two vocabularies share, by three readings of "the same token"."""

from collections.abc import Callable, Hashable

from franken.token_map.builder import MapBuilder
from franken.token_map.options import Overlap, OverlapMode
from franken.tokenizer.pieces import text_of


def share_by(builder: MapBuilder, options: Overlap) -> None:
    """Put the overlap of the options in place of the builder's, special tokens apart.

    Notes the size of every reading, for the choice is the largest unknown of SALT (its rules stand
    in an appendix that could not be read).
    """
    sizes, found = {}, {}
    for mode in OverlapMode:
        found[mode, False], found[mode, True] = overlap_readings(builder, mode)
    for (mode, fold), shared in found.items():
        sizes[f"{mode}{'+case_fold' if fold else ''}"] = len(shared)
    chosen = found[options.mode, options.case_fold]
    special = {r: p for r, p in builder.overlap.items() if builder.target_bytes[r] is None}
    builder.overlap = dict(sorted({**special, **chosen}.items()))
    builder.notes["shared_by_mode"] = sizes


def overlap_readings(
    builder: MapBuilder, mode: OverlapMode
) -> tuple[dict[int, int], dict[int, int]]:
    """Target id -> source row of the text pieces that count as the same, by one reading.

    Returns:
        The pieces of equal form; the same with case folding: a piece without exact partner takes
        that of the lowest id which differs in case alone.
    """
    form = _FORMS[mode]
    old, new = (
        {row: form(data, names[row]) for row, data in enumerate(table) if data is not None}
        for table, names in (
            (builder.source_bytes, builder.source_names),
            (builder.target_bytes, builder.target_names),
        )
    )
    if mode is OverlapMode.bytes:
        exact = {row: builder.overlap[row] for row in new if row in builder.overlap}
    else:
        exact = _partners(old, new)
    folded_old, folded_new = (
        {row: _folded(name) for row, name in forms.items()} for forms in (old, new)
    )
    return exact, _partners(folded_old, folded_new) | exact


def _partners(old: dict[int, Hashable], new: dict[int, Hashable]) -> dict[int, int]:
    """Target id -> lowest source row of the same form."""
    lowest: dict[Hashable, int] = {}
    for row, form in old.items():
        lowest.setdefault(form, row)
    return {row: lowest[form] for row, form in new.items() if form in lowest}


def _folded(name: Hashable) -> Hashable:
    """Lower case; bytes that are no text have none."""
    if not isinstance(name, bytes):
        return str(name).casefold()
    text = text_of(name)
    return name if text is None else text.casefold()


_FORMS: dict[OverlapMode, Callable[[bytes, str], Hashable]] = {
    OverlapMode.bytes: lambda data, name: data,
    OverlapMode.native: lambda data, name: name,
    OverlapMode.decode: lambda data, name: data.decode(errors="replace"),
}
