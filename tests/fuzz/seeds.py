#!/usr/bin/env python3
"""Writes small seeds into a folder: fixtures are real, but a mutation of one seldom hits what matters.

Each dump has one table and one entry of large objects, for every compression and archive version.
Some ask a decompressor for as much memory as it may take, or for more.
"""

import sys
import zlib
from pathlib import Path

ROWS = b"1\tx\n2\t\\N\n\\.\n\n\n"
LZ4 = bytes.fromhex("04224d186440a7")
LZ4_LINKED_4_MIB = bytes.fromhex("04224d184070df")
LZ4_LEGACY_8_MIB = bytes.fromhex("02214c18")
ZSTD = bytes.fromhex("28b52ffd")


def number(value, size=4):
    return bytes([value < 0]) + abs(value).to_bytes(size, "little")


def text(value, size=4):
    if value is None:
        return number(-1, size)
    return number(len(value), size) + value.encode()


def entry(minor, number_, tag, kind, copy, size):
    out = number(number_, size) + number(1, size)
    out += b"".join(text(one, size) for one in ("0", "0", tag, kind))
    out += number(3, size)
    out += b"".join(text(one, size) for one in ("", "", copy, "s", ""))
    if minor >= 14:
        out += text("", size)
    if minor >= 16:
        out += number(114, size)
    out += text("o", size) + text("false", size) + text("6", size) + text(None, size)
    return out + b"\1" + bytes(8)


def dump(minor, compression, contents, second=False, size=4):
    """contents: what the table has in it, then what each large object has."""
    out = b"PGDMP" + bytes([1, minor, 0, size, 8, 1])
    codes = ["none", "gzip", "lz4", "zstd"]
    code = codes.index(compression)
    out += bytes([code]) if minor >= 15 else number(-code, size)
    out += b"".join(number(one, size) for one in (1, 2, 3, 4, 5, 126, 0))
    out += b"".join(text(one, size) for one in ("d", "18.4", "18.4"))
    toc = number(2, size)
    toc += entry(minor, 1, "t", "TABLE DATA", "COPY s.t (a) FROM stdin;\n", size)
    toc += entry(minor, 2, "b", "BLOBS", None, size)
    table, *objects = contents
    out += toc + b"\1" + number(1, size) + pieces(table, size)
    out += b"\3" + number(2, size)
    for place, content in enumerate(objects, 1):
        out += number(place, size) + pieces(content, size)
    out += number(0, size)
    return out + toc if second else out


def pieces(content, size):
    half = len(content) // 2
    parts = [part for part in (content[:half], content[half:]) if part]
    return b"".join(number(len(part), size) + part for part in parts) + number(0, size)


def zstd(header, content):
    return ZSTD + header + (len(content) << 3 | 1).to_bytes(3, "little") + content


def lz4(head, content):
    raw = (len(content) | 1 << 31).to_bytes(4, "little") + content
    return head + raw + bytes(4) + (checksum(content) if head == LZ4 else b"")


def checksum(content):
    """xxHash-32 of less than 16 bytes."""
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xFFFFFFFF
    rotate = lambda value, by: (value << by | value >> 32 - by) & mask
    value, rest = p5 + len(content), content
    while len(rest) >= 4:
        value = value + int.from_bytes(rest[:4], "little") * p3 & mask
        value, rest = rotate(value, 17) * p4 & mask, rest[4:]
    for byte in rest:
        value = rotate(value + byte * p5 & mask, 11) * p1 & mask
    value = (value ^ value >> 15) * p2 & mask
    value = (value ^ value >> 13) * p3 & mask
    return (value ^ value >> 16).to_bytes(4, "little")


def dumps():
    small = zstd(b"\x20" + bytes([len(ROWS)]), ROWS)
    for minor in range(12, 17):
        yield f"none-{minor}", dump(minor, "none", [ROWS, b"object", b""])
        gzip = [zlib.compress(ROWS), zlib.compress(b"o" * 99)]
        yield f"gzip-{minor}", dump(minor, "gzip", gzip, second=minor > 15)
    yield "narrow", dump(16, "none", [ROWS, b"object"], second=True, size=1)
    yield "wide", dump(15, "none", [ROWS], size=8)
    yield "lz4", dump(16, "lz4", [lz4(LZ4, ROWS), lz4(LZ4, b"o")], second=True)
    yield "zstd", dump(16, "zstd", [small, zstd(b"\x20\1", b"o")], second=True)
    # The most that a decompressor takes: what is empty is as large as what is full.
    for name, head in (("linked", LZ4_LINKED_4_MIB), ("legacy", LZ4_LEGACY_8_MIB)):
        packed = head + b"\x02\0\0\0\x10x" + bytes(4)
        yield f"lz4-{name}", dump(16, "lz4", [lz4(head, ROWS), packed])
    for name, window in (("16-mib", b"\0\x70"), ("18-mib", b"\0\x71"), ("3-tib", b"\0\xff")):
        yield f"zstd-{name}", dump(16, "zstd", [zstd(window, ROWS)])
    segment = b"\xa0" + (16 << 20).to_bytes(4, "little")
    yield "zstd-segment", dump(16, "zstd", [small, zstd(segment, b"o")])
    long = dump(16, "none", [ROWS]).replace(text("18.4"), number(2**26) + b"18.4", 1)
    yield "long-text", long


ENV_FILES = [
    "",
    "\ufeffA=1\r\n# x\r\nB = 2 # y\r\n",
    "export A=1\n \texport\tB: x=y\nexport\n",
    "A.b-c[0]='x\n \\' $B'C=\"3\" # y\nñ=ñ\u00a0\u2028\n",
    'A="\\a\\b\\f\\n\\r\\t\\v\\\\\\"\\0123\\0377\\0400\\x07\\$"\n',
    "A=$$B$\nC=^x$ $1 $} $\n",
    "A=x\nB=<$A-b> ${A}b $Ab ${Z}\n",
    "A=x\nE=\nB=${A:-x}${E-x}${U:-/a:-b?c}|${A:+x}${E+x}|${A:?x}${A?x}\n",
    "A=${U:-{x}}}${U:-$A}${U-${E:-${A} $A}}\nB=${U:-{} {x\n",
    "A=" + "${U:-" * 16 + "x" + "}" * 16,
    "A=" + "${U:-{" * 20 + "}" * 40,
    "A=0123456789\n" + "A=$A$A$A$A\n" * 3,
    "A\nB\nA\n",
    "A='\n\n",
    "A=1\nB=${U:?y}\n",
]


def main():
    folder = Path(sys.argv[1])
    seeds = {
        "dump": dumps(),
        "env_file": ((str(place), one.encode()) for place, one in enumerate(ENV_FILES)),
    }
    for target, files in seeds.items():
        folder.joinpath(target).mkdir(parents=True, exist_ok=True)
        for name, content in files:
            folder.joinpath(target, name).write_bytes(content)


main()
