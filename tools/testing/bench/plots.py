# SPDX-License-Identifier: GPL-2.0-only
"""The plots of Documentation/performance.rst: how what scripts/bench has counted
grows. Both axes are logarithmic. What is drawn depends on the values only.
"""

from math import ceil, floor, log10
from pathlib import Path

import pygal
from pygal.style import Style

# Legible on light pages and on dark ones.
GREY = "#808080"
STYLE = Style(background="transparent", plot_background="transparent", foreground=GREY,
              foreground_strong=GREY, foreground_subtle=GREY, opacity="1", guide_stroke_color=GREY,
              major_guide_stroke_color=GREY, colors=("#d9480f", "#1c7ed6", "#2b8a3e"),
              font_family="sans-serif", label_font_size=12, major_label_font_size=12,
              legend_font_size=13, title_font_size=15)


def place(x):
    """Where x is on a logarithmic axis, which has no 0."""
    return max(x, 1)


def draw(file, title, x_title, ticks, lines):
    """Lines are a name and points each. The y axis shows whole powers of ten."""
    every = [y for _, points in lines for y in points.values()]
    bottom, top = 10 ** floor(log10(min(every))), 10 ** ceil(log10(max(every)))
    chart = pygal.XY(style=STYLE, title=title, x_title=x_title, y_title="instructions",
                     logarithmic=True, range=(bottom, top), width=640, height=380,
                     margin_right=40, margin_bottom=30, explicit_size=True, js=[],
                     show_legend=len(lines) > 1, legend_at_bottom=True,
                     legend_at_bottom_columns=3, truncate_legend=-1, dots_size=4,
                     show_x_guides=False, value_formatter=lambda y: f"{y:,.0f}")
    chart.uuid = file.stem
    chart.x_labels = [{"value": place(tick), "label": f"{tick:,}"} for tick in ticks]
    chart.y_labels = [bottom * times for times in (1, 2, 5, 10, 20, 50, 100)
                      if bottom * times <= top]
    for name, points in lines:
        chart.add(name, [(place(x), y) for x, y in sorted(points.items())])
    file.write_bytes(chart.render())


def draw_all(values, folder):
    """Draws all of them into the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers, spaces = values["numbers"], values["first-stage"]

    def points(values, name, at):
        return {x: values[name.format(x)] for x in at if name.format(x) in values}

    held = (0, 1000, 100000, 999000)
    draw(folder / "alloc.svg", "A PASID allocated and freed, in the kernel",
         "PASIDs that are held already", held,
         [(name, points(numbers, f"alloc.kernel.{{}}.{key}", held))
          for name, key in (("ours", "ours"), ("the 2020 design", "2020"), ("IDA", "ida"))])
    processes = (1, 100, 1000)
    draw(folder / "lookup.svg", "A process looked up", "processes", processes,
         [(name, points(numbers, f"lookup.{{}}.{key}", processes))
          for name, key in (("ours", "ours"), ("the 2020 design", "2020"))])
    mappings = (1, 1000, 100000)
    draw(folder / "map.svg", "AUX_MAP and AUX_UNMAP of 4 KiB", "mappings of the space", mappings,
         [("ours", points(spaces, "map.4K.among-{}.ours", mappings))])
    count = (100, 1000, 10000)
    draw(folder / "create.svg", "AUX_CREATE and AUX_DESTROY", "spaces", count,
         [("ours", points(spaces, "create.among-{}.ours", count))])
    sizes = [size for size in (1, 4, 16, 64) if f"register.page.of-{size}G.ours" in spaces]
    draw(folder / "register.svg", "A page registered", "GiB that are registered at once", sizes,
         [("ours", points(spaces, "register.page.of-{}G.ours", sizes))])
