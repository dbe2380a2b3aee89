# SPDX-License-Identifier: GPL-2.0-only
"""The rows of scripts/bench: what is compared with what, and what it may cost.

A floor is what the core of the kernel takes for the same, and as many ioctls
that do nothing as user space needs for it.
"""

import re
from dataclasses import dataclass, field

HEAD = ("", "what", "ours", "peer", "", "of", "may be", "others")

# Rows that cost more than they should: how much they do, and why, in instructions of a profile.
# What costs even more is short.
MAPPING = ("allocating, zeroing and freeing the mapping's node takes 500; finding the container, "
           "the space and the memory 600; three locks each way and the references 300; the "
           "arguments 200; the sums for readers 140; moving the mapping to its place 300; the rest "
           "takes a few each")
FREE = ("for each 64 numbers, a node of the tree is freed, and the number space is locked anew, so "
        "that others get their turn")
SHIM = "finding the container of a handle and keeping it meanwhile takes 130 for each ioctl"
LIMITS = {
    "growth of alloc+free in the kernel to 999,000 held":
        (2.3, "the tree of a process with so many numbers is 24 levels deep, and is searched "
              "twice"),
    "free of a range, each number, dense": (7.7, FREE),
    "free of a range, each number, every 64th held": (0.43, FREE),
    "lookup of a process among 1":
        (1.85, "it takes a mutex, a tree and two counts, of the uses and of the memory; the 2020 "
               "design takes a mutex, a list and one count"),
    "AUX_MAP+UNMAP 4K": (3000, MAPPING),
    "AUX_MAP+UNMAP 2M": (3000, MAPPING),
    "AUX_MAP+UNMAP 1G": (3000, MAPPING),
    "REGISTER 4K":
        (3.6, "this part does not depend on the size: five allocations take 1,200, the notifier "
              "300, the charge 250; the ranges of the process and of the container take the rest"),
    "AUX_ATTACH+DETACH":
        (1.28, "two ioctls find the space and the device, count against the limits, and make and "
               "free a node"),
    "AUX_CREATE+DESTROY":
        (1.37, "it makes six allocations, and lists the reserved regions of the group"),
    "VFIO_CHECK_EXTENSION through the shim": (170, SHIM),
    "a stock ioctl that fails through the shim": (170, SHIM),
    "MAP_DMA+UNMAP_DMA 4K through the shim":
        (460, f"{SHIM}, and stock functions are rerouted to look whether memory is registered"),
    "waits for a lock of ours, two processes on two processors":
        (5000, "PASIDs are unique in the whole machine, so the numbers have one lock: it is held "
               "for some 100 instructions, and its holder waits for nothing"),
}


def in_both_modes(title):
    """What the rows of both modes are called."""
    return re.sub(r", (first|second)-stage$", "", title)


@dataclass
class Row:
    """One thing that was counted."""

    title: str
    ours: float
    target: float
    peer: float = None
    peer_name: str = ""
    # times: ours is at most so many times the peer; more: at most so much more;
    # at most: of itself.
    kind: str = "times"
    others: dict = field(default_factory=dict)

    @property
    def measure(self):
        if self.kind == "times":
            return self.ours / self.peer if self.peer else float("inf")
        return self.ours - self.peer if self.kind == "more" else self.ours

    @property
    def verdict(self):
        if self.target is None:
            return "note"
        if self.measure <= self.target + 1e-9:
            return "ok"
        limit = LIMITS.get(in_both_modes(self.title))
        return "limit" if limit and self.measure <= limit[0] else "short"

    def shown(self, number):
        if number is None:
            return ""
        return {"times": f"{number:.2f}x", "more": f"{number:+,.0f}",
                "at most": amount(number)}[self.kind]

    def cells(self):
        others = ", ".join(f"{name} {amount(number)}" for name, number in self.others.items())
        return (self.verdict, self.title, amount(self.ours),
                "" if self.peer is None else amount(self.peer),
                "" if self.kind == "at most" else self.shown(self.measure),
                self.peer_name, self.shown(self.target), others)

    def as_dict(self):
        return {"title": self.title, "ours": self.ours, "peer": self.peer,
                "peer_name": self.peer_name, "kind": self.kind, "measure": self.measure,
                "target": self.target, "verdict": self.verdict, "others": self.others}


def amount(number):
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


HELD = {"0": "0 held", "1000": "1,000 held", "100000": "100,000 held",
        "999000": "999,000 held", "half": "every 2nd held", "64th": "every 64th held"}


def number_rows(v):
    nothing = v["ioctl.nothing"]
    kernel = {state: v[f"alloc.kernel.{state}.ours"] for state in HELD}
    for state, title in HELD.items():
        crowded = state not in ("0", "1000")
        yield Row(f"alloc+free in the kernel, {title}", kernel[state], 1.4 if crowded else 1.2,
                  v[f"alloc.kernel.{state}.ida"], "the kernel's IDA",
                  others={"2020": v[f"alloc.kernel.{state}.2020"]})
        yield Row(f"alloc+free by ioctl, {title}", v[f"alloc.ioctl.{state}.ours"],
                  2.9 if crowded else 2.2, 2 * nothing, "2 empty ioctls",
                  others={"2020": v[f"alloc.ioctl.{state}.2020"]})
    yield Row("growth of alloc+free in the kernel to 999,000 held", kernel["999000"], 2.1,
              kernel["0"], "itself, 0 held")
    for state, title in (("below", "1 to 10,000 below 999,000 held"),
                         ("one", "one number below these"),
                         ("half", "300,000 to 600,000, every 2nd held")):
        yield Row(f"alloc+free in the kernel, {title}", v[f"alloc.kernel.range.{state}.ours"], 1.1,
                  kernel["half" if state == "half" else "999000"], "itself, all numbers")
    dense, half, sparse = (v[f"free.{of}.ours"] for of in (1, 2, 64))
    yield Row("free of a range, each number, dense", dense, 5, kind="at most",
              others={"2020": v["free.1.2020"]})
    yield Row("free of a range, each number, every 2nd held", half, 0.4, v["free.2.2020"],
              "the 2020 design")
    yield Row("free of a range, each number, every 64th held", sparse, 0.4, v["free.64.2020"],
              "the 2020 design")
    look = {count: v[f"lookup.{count}.ours"] for count in (1, 100, 1000)}
    yield Row("lookup of a process among 1", look[1], 1.3, v["lookup.1.2020"], "the 2020 design")
    for count in (100, 1000):
        yield Row(f"lookup of a process among {count:,}", look[count], 1.4, look[1],
                  "itself among 1", others={"2020": v[f"lookup.{count}.2020"]})
    for of, title in ((1, "dense"), (64, "every 64th held")):
        yield Row(f"bytes for a number, {title}", v[f"memory.pasid.{of}.ours"], None,
                  kind="at most", others={"2020": v[f"memory.pasid.{of}.2020"]})


SIZES = ("4K", "2M", "1G")


def space_rows(v, mode, numbers):
    nothing = v["ioctl.nothing"]

    def row(title, *rest, **more):
        return Row(f"{title}, {mode}", *rest, **more)

    for size in SIZES:
        yield row(f"AUX_MAP+UNMAP {size}", v[f"map.{size}.ours"], 1400,
                  v[f"map.{size}.bare"] + 2 * nothing, "iommu_map+unmap, 2 empty ioctls",
                  kind="more", others={"stock": v[f"stock.map_dma+unmap_dma.{size}.stock"]})
    yield row("AUX_MAP+UNMAP 64M scattered", v["map.64M-scattered.ours"], 1.1,
              v["map.64M-scattered.bare"] + 2 * nothing, "iommu_map_sg+unmap, 2 empty ioctls")
    for size in SIZES:
        for way in ("map", "unmap"):
            yield row(f"flushes of AUX_{way.upper()} {size}", v[f"flush.{way}.{size}.ours"],
                      1, kind="at most")
    size = "64M-scattered"
    # A list of 64 KiB has 2,048 pieces.
    yield row("flushes of AUX_MAP 64M scattered", v[f"flush.map.{size}.ours"], 8, kind="at most")
    yield row("flushes of AUX_UNMAP 64M scattered", v[f"flush.unmap.{size}.ours"], 1,
              kind="at most", others={"iommu_map_sg+unmap": v[f"flush.map+unmap.{size}.bare"]})
    yield row("flushes of UNMAP_ALL, 1,000 mappings", v["flush.unmap_all.1000.ours"], 1,
              kind="at most")
    yield row("flushes of DESTROY, 1,000 mappings", v["flush.destroy.1000.ours"], 5,
              kind="at most")
    for size in (*SIZES, "64M-scattered"):
        stock = v.get(f"stock.map_dma.{size}.stock")
        yield row(f"REGISTER {size}", v[f"register.{size}.ours"], 1.2,
                  v[f"register.{size}.bare"] + nothing, "pin_user_pages, 1 empty ioctl",
                  others={"stock MAP_DMA": stock} if stock else {})
    for size in ("2M", "1G"):
        yield row(f"REGISTER {size} of huge pages", v[f"register.{size}.ours"], 1.0,
                  v[f"stock.map_dma.{size}.stock"], "stock MAP_DMA")
    yield row("AUX_ATTACH+DETACH", v["attach.ours"], 1.15, v["attach.bare"] + 2 * nothing,
              "iommu_attach+detach, 2 empty ioctls")
    yield row("AUX_CREATE+DESTROY", v["create.ours"], 1.1,
              v["create.bare"] + 2 * nothing + numbers["alloc.kernel.0.ours"],
              "domain alloc+free, number, 2 empty ioctls")
    yield row("bytes for a range of one run", v["memory.range.ours"], 512, kind="at most")
    # A node of 96 bytes: 42 of them share a page.
    yield row("bytes for a mapping", v["memory.mapping.ours"], 98, kind="at most")
    # In second-stage tables each page is a flush of its own, for stock code as well.
    scattered = 0.5 if mode == "first-stage" else 0.6
    for size, title, times in (("1G", "1 GiB, one page", 0.1),
                               ("1G-of-2M", "1 GiB of 2M pages", 0.1),
                               ("64M-scattered", "64M scattered", scattered)):
        yield row(f"a ninth container maps {title}", v[f"own.map.{size}.ours"], times,
                  v[f"stock.map_dma.{size}.stock"], "stock MAP_DMA")
        yield row(f"a ninth container unmaps {title}", v[f"own.unmap.{size}.ours"], None,
                  v[f"stock.unmap_dma.{size}.stock"], "stock UNMAP_DMA")
    yield row("bytes charged for 1 GiB in eight containers", v["own.charged.1G.ours"], 1 << 30,
              kind="at most")
    for name, title in (("check_extension", "VFIO_CHECK_EXTENSION"),
                        ("dirty_pages", "a stock ioctl that fails")):
        yield row(f"{title} through the shim", v[f"stock.{name}.ours"], 120,
                  v[f"stock.{name}.stock"], "stock", kind="more")
    yield row("MAP_DMA+UNMAP_DMA 4K through the shim", v["stock.map_dma+unmap_dma.4K.ours"],
              240, v["stock.map_dma+unmap_dma.4K.stock"], "stock", kind="more")
    for count in (1000, 100000):
        yield row(f"AUX_MAP+UNMAP 4K among {count:,}", v[f"map.4K.among-{count}.ours"], 1.4,
                  v["map.4K.among-1.ours"], "itself among 1")
    for count in (1000, 10000):
        yield row(f"AUX_CREATE+DESTROY among {count:,}", v[f"create.among-{count}.ours"], 1.1,
                  v["create.among-100.ours"], "itself among 100")
    yield row("REGISTER of 1 GiB, each page", v["register.page.of-1G.ours"], 1.2,
              v["register.page.of-1G.bare"], "pin_user_pages")
    for size in (4, 16, 64):
        if f"register.page.of-{size}G.ours" in v:
            yield row(f"REGISTER of {size} GiB, each page", v[f"register.page.of-{size}G.ours"],
                      1.1, v["register.page.of-1G.ours"], "itself of 1 GiB")


def process_rows(v):
    nothing = v["ioctl.nothing"]
    yield Row("AUX_ATTACH+DETACH of a process space", v["process.attach.ours"], 1.15,
              v["process.attach.bare"] + 2 * nothing, "iommu_sva_bind+unbind, 2 empty ioctls")
    yield Row("AUX_CREATE+DESTROY of a process space", v["process.create.ours"], None,
              kind="at most")
    yield Row("a page comes and goes, the process attached", v["process.munmap.attached"], None,
              v["process.munmap.plain"], "itself, not attached")
    yield Row("flushes of munmap(), the process attached", v["flush.munmap.attached"], 2,
              kind="at most", others={"not attached": v["flush.munmap.plain"]})


def make_rows(values):
    numbers = values["numbers"]
    rows = list(number_rows(numbers))
    for mode in ("first-stage", "second-stage"):
        rows += space_rows(values[mode], mode, numbers)
    rows += process_rows(values["first-stage"])
    return [*rows, *wait_rows(values["waits"])]


# What takes a lock of the kernel's, within a function of ours: the process's mmap_lock.
NOT_OURS = {"vfio_pasid_helper_charge", "vfio_pasid_helper_uncharge"}
# The functions of the kernel that are between whoever takes a lock and the tracepoint.
LOCKING = re.compile(r"contention_begin|mutex|rwsem|spin_lock|spin_slow|queued|down_(read|write)"
                     r"|spinlock|6kernel4sync|rtmutex|osq_|trace_event_|__traceiter")


def waits(text):
    """How often each function waited for a lock, from a whole trace of lock:contention_begin with
    the stack of each."""
    kept, written = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", text).groups()
    if kept != written:
        raise ValueError(f"the trace has lost events: {written} were written, {kept} are there")
    counts = {}
    for stack in re.findall(r"<stack trace>\n((?: => .*\n)+)", text):
        taker = next((frame for frame in re.findall(r" => (.*)", stack)
                      if not LOCKING.search(frame) or "vfio_pasid" in frame), None)
        if taker:
            counts[taker] = counts.get(taker, 0) + 1
    return counts


def is_lock_of_ours(taker):
    return "vfio_pasid" in taker and taker not in NOT_OURS


def wait_rows(v):
    ours = sum(count for taker, count in v["waits"].items() if is_lock_of_ours(taker))
    yield Row("waits for a lock of ours, two processes on two processors", ours, 0, kind="at most",
              others={"for the kernel's": sum(v["waits"].values()) - ours})
    yield Row("nanoseconds of AUX_MAP+UNMAP 4K beside an attached process that unmaps",
              v["beside.attached"], None, v["beside.plain"], "the same, not attached")
    for name, spent in v.items():
        if name.startswith("wall."):
            yield Row(f"nanoseconds of {name.removeprefix('wall.')} beside another process", spent,
                      None, kind="at most")


def large_rows(values):
    """What 1 TiB and 1,000 containers come to: bytes held, instructions in all, and how many of
    them in a row under one lock, and which."""
    v = values["second-stage"]
    pages, huge, containers = 1 << 28, 1 << 10, 1000
    # 16 is what a Run of kernel/pages.rs takes.
    scattered = v["register.64M-scattered.ours"] / (1 << 14)
    yield ("1 TiB registered, in pages of 4 KiB that do not follow each other", 16 * pages,
           scattered * pages, scattered * 512, "mmap_lock, shared")
    yield ("1 TiB registered, in pages of 1 GiB", 16 * huge, v["register.1G.ours"] * huge,
           v["register.1G.ours"], "mmap_lock")
    yield ("a space with 1 TiB, in mappings of 1 GiB", v["memory.mapping.ours"] * huge,
           v["map.1G.ours"] * huge, v["map.1G.ours"], "the space's")
    yield ("1,000 such spaces", v["memory.mapping.ours"] * huge * containers,
           v["map.1G.ours"] * huge * containers, v["map.1G.ours"], "the space's")
    yield ("the own spaces of 1,000 containers with 1 TiB, in mappings of 1 GiB", None,
           v["own.map.1G.ours"] * huge * containers, v["own.map.1G.ours"], "iommu->lock")
    yield ("UNMAP_ALL of 1,024 mappings", None, v["unmap_all.1000.ours"] * huge / 1000,
           v["unmap_all.1000.ours"] * huge / 1000, "the space's")
    yield ("DESTROY of a space with 100,000 mappings", None, v["destroy.100000.ours"], 0,
           "none: nobody finds it any more")
    yield ("1,000 attachments made and given back", None, v["attach.ours"] * containers,
           v["attach.ours"], "the container's")


LARGE_HEAD = ("what", "bytes held", "instructions", "in a row, locked", "the lock")


def large_as_rst(values):
    return as_list_table((LARGE_HEAD, *(
        (what, "" if held is None else amount(held), amount(round(spent)), amount(round(locked)),
         lock) for what, held, spent, locked, lock in large_rows(values))))


def as_rst(rows):
    head = ("", "what", "ours", "peer", "ratio", "what the peer is", "may be", "others")
    return as_list_table((head, *(row.cells() for row in rows)))


def limits_as_rst(rows):
    """A sentence for each row that is at its limit; rows with the same are together."""
    why = {}
    for row in rows:
        if row.verdict == "limit":
            title = in_both_modes(row.title)
            titles = why.setdefault(LIMITS[title][1], [])
            if title not in titles:
                titles.append(title)
    return "\n".join(f"- {'; '.join(titles)}: {reason}." for reason, titles in why.items()) + "\n"


def as_list_table(rows):
    """It need not be drawn."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for cells in rows:
        for column, cell in enumerate(cells):
            lines.append(f"   {'*' if column == 0 else ' '} - {cell}".rstrip())
    return "\n".join(lines) + "\n"
