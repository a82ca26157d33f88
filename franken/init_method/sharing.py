"""Which text pieces two vocabularies share, by three readings of "the same token"."""

from collections.abc import Callable, Hashable

from franken.config.init_method.donor import Overlap, OverlapMode
from franken.init_method.builder import MapBuilder


def share_by(builder: MapBuilder, options: Overlap) -> None:
    """Put the overlap of the options in place of the builder's, special tokens apart.

    Notes the size of every reading, for the choice is the largest unknown of SALT (its rules stand
    in an appendix that could not be read).
    """
    sizes = {}
    for mode in OverlapMode:
        for fold in (False, True):
            found = text_overlap(builder, Overlap(mode, fold))
            sizes[f"{mode}{'+case_fold' if fold else ''}"] = len(found)
            if Overlap(mode, fold) == options:
                chosen = found
    special = {r: p for r, p in builder.overlap.items() if builder.target_bytes[r] is None}
    builder.overlap = dict(sorted({**special, **chosen}.items()))
    builder.notes["shared_by_mode"] = sizes


def text_overlap(builder: MapBuilder, options: Overlap) -> dict[int, int]:
    """Target id -> source row of the text pieces that count as the same.

    With ``case_fold`` a piece without exact partner takes that of the lowest id which differs in
    case alone.
    """
    source_names, target_names = builder.source_names, builder.target_names
    key = _KEYS[options.mode]
    source = [
        (row, key(data, source_names[row]))
        for row, data in enumerate(builder.source_bytes)
        if data is not None
    ]
    exact, folded = _first(source, lambda name: name), _first(source, _folded)
    if options.mode is OverlapMode.bytes:
        shared = {r: p for r, p in builder.overlap.items() if builder.target_bytes[r] is not None}
    else:
        shared = {}
    for row, data in enumerate(builder.target_bytes):
        if data is None or row in shared:
            continue
        name = key(data, target_names[row])
        partner = exact.get(name) if options.mode is not OverlapMode.bytes else None
        if partner is None and options.case_fold:
            partner = folded.get(_folded(name))
        if partner is not None:
            shared[row] = partner
    return shared


def _first(
    source: list[tuple[int, Hashable]], form: Callable[[Hashable], Hashable]
) -> dict[Hashable, int]:
    """Form of the name -> lowest row."""
    found: dict[Hashable, int] = {}
    for row, name in source:
        found.setdefault(form(name), row)
    return found


def _folded(name: Hashable) -> Hashable:
    """Lower case; bytes that are no text have none."""
    if isinstance(name, bytes):
        try:
            return name.decode().casefold()
        except UnicodeDecodeError:
            return name
    return str(name).casefold()


_KEYS: dict[OverlapMode, Callable[[bytes, str], Hashable]] = {
    OverlapMode.bytes: lambda data, name: data,
    OverlapMode.native: lambda data, name: name,
    OverlapMode.decode: lambda data, name: data.decode(errors="replace"),
}
