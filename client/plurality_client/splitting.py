"""A long list cut into requests. Pure."""

from collections.abc import Sequence


def split(sizes: Sequence[int], *, most: int, largest: int) -> list[slice]:
    """Neighboring slices that cover every place once, in order.

    Args:
        sizes: characters of each item.
        most: items in one slice, at least 1.
        largest: characters in one slice; an item that is larger alone goes alone, for the service to judge.
    """
    slices: list[slice] = []
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and (place - start >= most or total + size > largest):
            slices.append(slice(start, place))
            start, total = place, 0
        total += size
    if start < len(sizes):
        slices.append(slice(start, len(sizes)))
    return slices
