# SPDX-License-Identifier: GPL-2.0-only
"""Rows as the lines of a table."""


def aligned(rows, left):
    """Columns are flush to the right, but for those whose numbers are in `left`."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) if number in left else cell.rjust(width)
                        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
                        ).rstrip()
