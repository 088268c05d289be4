"""Pillow -> shapes and text on a picture of any size.

Canvas  drawn at twice the size and scaled down, so that slanted lines are smooth
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import NamedTuple, TypeAlias

from PIL import Image, ImageDraw, ImageFont

Color: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

SCALE = 2
INK: Color = (28, 36, 51)
SOFT: Color = (104, 114, 132)
LINE: Color = (222, 226, 233)
PAPER: Color = (243, 245, 248)
CARD: Color = (255, 255, 255)


class Box(NamedTuple):
    """A rectangle: its left upper corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.height

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        """What is left within these margins."""
        return Box(self.x + left, self.y + top, max(self.width - left - right, 0), max(self.height - top - bottom, 0))


class Canvas:
    """A picture while it is drawn. Lengths are in pixels of the finished picture."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def png(self) -> bytes:
        """The finished picture."""
        file = BytesIO()
        self._image.reduce(SCALE).save(file, "PNG", optimize=True)
        return file.getvalue()

    def bar(self, box: Box, color: Color, radius: float = 0) -> None:
        """A filled rectangle; one that is narrower than a pixel is not there."""
        if box.width * SCALE < 1 or box.height * SCALE < 1:
            return
        corners = (
            box.x * SCALE,
            box.y * SCALE,
            max(box.right * SCALE - 1, box.x * SCALE),
            max(box.bottom * SCALE - 1, box.y * SCALE),
        )
        self._draw.rounded_rectangle(corners, min(radius * SCALE, box.width * SCALE / 2), fill=color)

    def card(self, box: Box, title: str, note: str = "") -> Box:
        """A white panel with a title, and a note at its right; what is left of it."""
        self.bar(box, LINE, 10)
        self.bar(box.inside(1, 1, 1, 1), CARD, 9)
        self.text((box.x + 22, box.y + 34), title, 19)
        if note:
            self.text((box.right - 22, box.y + 34), note, 14, SOFT, "rs")
        return box.inside(22, 54, 22, 22)

    def line(self, points: Sequence[Point], color: Color = LINE, width: float = 1) -> None:
        """A line through *points*."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=color, width=round(width * SCALE), joint="curve")

    def area(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * SCALE, y * SCALE) for x, y in points], fill=color)

    def text(self, at: Point, text: str, size: int, color: Color = INK, anchor: str = "ls") -> None:
        """Text whose anchor (Pillow's: l, m, r and s for the base line) is *at*; what the font lacks shows as ?."""
        known = "".join(char if char.isascii() or char == "·" else "?" for char in text)
        self._draw.text((at[0] * SCALE, at[1] * SCALE), known, color, _font(size), anchor)

    def fitting(self, text: str, size: int, width: float) -> str:
        """*text*, cut where it would be wider than *width*."""
        if _font(size).getlength(text) <= width * SCALE:
            return text
        while text and _font(size).getlength(text + "...") > width * SCALE:
            text = text[:-1]
        return text + "..."


def blend(start: Color, end: Color, share: float) -> Color:
    """The color at *share*, 0 to 1, of the way from one to another."""
    share = min(max(share, 0.0), 1.0)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)
