"""Write tests/image/data: small files of every format and kind, and the RGB that they stand for.

    python tests/image/make_data.py      (needs Pillow; run again only to add a kind)

x.png, x.jpg, ... each have a neighbour x.png.rgb: width and height as 2-byte little-endian numbers,
then the pixels as image.h defines them (alpha over white, 16 bits cut to 8). Pillow is the
reference; PNG kinds that it can't write are written here from the specification, and read back
by Pillow where it can.
"""
import io
import pathlib
import struct
import zlib

from PIL import Image

DATA = pathlib.Path(__file__).parent / "data"
WIDTH, HEIGHT = 13, 9


def gradient(mode):
    image = Image.new("RGBA", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            image.putpixel((x, y), (x * 19, y * 28, (x + y) * 11, 255 - (x * y) * 2))
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def over_white(image):
    rgba = image.convert("RGBA")
    pixels = bytearray()
    for r, g, b, a in (rgba.getpixel((x, y)) for y in range(rgba.height) for x in range(rgba.width)):
        pixels += bytes((c * a + 255 * (255 - a) + 127) // 255 for c in (r, g, b))
    return rgba.size, bytes(pixels)


def write(name, data, expected=None):
    size, pixels = expected or over_white(Image.open(io.BytesIO(data)))
    (DATA / name).write_bytes(data)
    (DATA / (name + ".rgb")).write_bytes(struct.pack("<HH", *size) + pixels)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(color, bits, pixel, interlaced=False, extra=b"", width=WIDTH, height=HEIGHT,
        pixels=None):
    """pixel(x, y) gives the samples; rows cycle through the filters None and Sub. pixels are
    filtered rows to write instead."""
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        columns = range(x0, width, dx)
        for i, y in enumerate(range(y0, height, dy)):
            samples = [s for x in columns for s in pixel(x, y)]
            if not samples:
                continue
            text = "".join(format(s, f"0{bits}b") for s in samples)
            text += "0" * (-len(text) % 8)
            row = bytes(int(text[k:k + 8], 2) for k in range(0, len(text), 8))
            step = max(1, bits * len(pixel(0, 0)) // 8)
            if i % 2:
                row = bytes((v - (row[k - step] if k >= step else 0)) & 255
                            for k, v in enumerate(row))
            raw += bytes([i % 2]) + row
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, int(interlaced))
    packed = zlib.compress(raw if pixels is None else pixels)
    half = len(packed) // 2  # two IDAT chunks, as big files have them
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tEXt", b"Title\0x") + extra
            + chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b""))


def bmp(bits, palette, row, pixels_at=None, height=1):
    info = struct.pack("<IiiHHIIIIII", 40, 3, height, 1, bits, 0, len(row), 0, 0, 0, 0)
    at = 14 + len(info) + len(palette) if pixels_at is None else pixels_at
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, at) + info + palette + row


def segment(marker, data):
    return struct.pack(">BBH", 255, marker, len(data) + 2) + data


def jpeg(segments):
    """8x8 pixels, components 1 to 3, and what is said."""
    frame = struct.pack(">BHHB", 8, 8, 8, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    return b"\xff\xd8" + segment(0xC0, frame) + segments + b"\xff\xd9"


def wide(x, y):
    return [(x * 4999) & 65535, (y * 7001) & 65535, ((x + y) * 2903) & 65535]


def main():
    DATA.mkdir(exist_ok=True)
    rgb, rgba = gradient("RGB"), gradient("RGBA")

    write("rgb.png", saved(rgb, "PNG"))
    write("rgba.png", saved(rgba, "PNG"))
    write("grey.png", saved(gradient("L"), "PNG"))
    write("grey_alpha.png", saved(rgba.convert("LA"), "PNG"))
    write("palette.png", saved(rgb.quantize(11), "PNG"))
    write("palette_alpha.png", saved(rgb.quantize(11), "PNG", transparency=3))
    write("one_bit.png", saved(gradient("1"), "PNG"))
    write("rgb_transparent.png", saved(rgb, "PNG", transparency=rgb.getpixel((4, 4))))
    write("interlaced.png", png(2, 8, lambda x, y: list(rgb.getpixel((x, y))), True))
    write("interlaced_1x1.png", png(2, 8, lambda x, y: [10, 20, 30], True, width=1, height=1))
    write("interlaced_2_bit.png", png(0, 2, lambda x, y: [(x + y) % 4], True))
    short = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0]))  # entries 2 and 3 are missing: black
    write("short_palette.png", png(3, 2, lambda x, y: [x % 4], extra=short), (
        (WIDTH, HEIGHT), b"".join([b"\xff\0\0", b"\0\xff\0", bytes(3), bytes(3)][x % 4]
                                  for y in range(HEIGHT) for x in range(WIDTH))))
    high = bytes(s >> 8 for y in range(HEIGHT) for x in range(WIDTH) for s in wide(x, y))
    write("rgb_16_bit.png", png(2, 16, wide), ((WIDTH, HEIGHT), high))

    write("rgb.jpg", saved(rgb, "JPEG", quality=95, subsampling=0))
    write("subsampled.jpg", saved(rgb, "JPEG", quality=95, subsampling=2))
    write("progressive.jpg", saved(rgb, "JPEG", quality=95, subsampling=0, progressive=True))
    write("restart.jpg", saved(rgb, "JPEG", quality=95, subsampling=0, restart_marker_blocks=1))
    write("grey.jpg", saved(gradient("L"), "JPEG", quality=95))

    write("lossless.webp", saved(rgb, "WEBP", lossless=True))
    write("lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True))
    write("lossy.webp", saved(rgb, "WEBP", quality=90))
    write("lossy_alpha.webp", saved(rgba, "WEBP", quality=90, exact=True))

    write("metadata.webp", saved(rgb, "WEBP", lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"))

    write("palette.gif", saved(rgb.quantize(16), "GIF"))
    write("interlaced.gif", saved(rgb.quantize(16), "GIF", interlace=1))
    write("transparent.gif", saved(rgb.quantize(16), "GIF", transparency=5))
    frames = [Image.new("P", (WIDTH, HEIGHT), i) for i in range(3)]
    for frame in frames:
        frame.putpalette([200, 10, 20, 10, 200, 30, 40, 50, 200])
    write("animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    write("rgb.bmp", saved(rgb, "BMP"))
    # Pillow writes the alpha but, like many, does not read it from a header without masks.
    write("rgba.bmp", saved(rgba, "BMP"), over_white(rgba))
    write("palette.bmp", saved(rgb.quantize(16), "BMP"))
    write("one_bit.bmp", saved(gradient("1"), "BMP"))

    # Files that must be refused: no .rgb beside them; test_image_files.c knows why.
    codes = bytes([1] + [0] * 15 + [0])
    tables = segment(0xDB, bytes(1) + bytes(range(64)))  # 69 bytes
    tables += segment(0xC4, b"\0" + codes) + segment(0xC4, b"\x10" + codes)
    refused = {
        "animated.webp": saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)]),
        "bomb.png": png(0, 8, lambda x, y: [0], width=1, height=1, pixels=bytes(1 << 20)),
        "too_few_rows.png": png(0, 8, lambda x, y: [0], pixels=bytes(WIDTH)),
        "no_palette.png": png(3, 8, lambda x, y: [0]),
        "filter_9.png": png(0, 8, lambda x, y: [0], width=1, height=1, pixels=b"\x09\0"),
        "critical_chunk.png": png(0, 8, lambda x, y: [0], extra=chunk(b"ABCD", b"")),
        "palette_index.bmp": bmp(8, palette=bytes(4 * 2), row=bytes([0, 1, 2, 0])),
        "pixels_in_header.bmp": bmp(24, palette=b"", row=bytes(12), pixels_at=20),
        "lowest_height.bmp": bmp(24, palette=b"", row=bytes(12), height=-(1 << 31)),
        "too_many_codes.jpg": jpeg(segment(0xC4, bytes([0]) + bytes([255] * 16) + bytes(4080))),
        "too_many_scans.jpg": jpeg(tables + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) * 101),
        "missing_component.jpg": jpeg(tables + segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))),
        "no_codes.jpg": jpeg(tables[:69] + segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))),
        "no_quantisation.jpg": jpeg(tables[69:] + segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))),
        "arithmetic.jpg": b"\xff\xd8" + segment(0xC9, bytes(8)) + b"\xff\xd9",
        "two_frames.jpg": jpeg(jpeg(b"")[2:-2]),
        "no_scan.jpg": jpeg(b""),
        "no_frame.gif": b"GIF89a" + struct.pack("<HHBBB", 3, 3, 0, 0, 0) + b";",
    }
    for name, data in refused.items():
        (DATA / name).write_bytes(data)


if __name__ == "__main__":
    main()
