"""How a camera spoils a face: random changes for training, fixed ones for measuring.

Why: FER+ shows posed faces, cut out well and lit well; live faces are small, dark, blurred, turned and half hidden.
All drawing is from the generator that is given, so a run can be repeated. Grey levels are 0..255 throughout, and stay
whole numbers, for a dark picture has lost its levels for good.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

TURN_DEG = 14.0  # either way
ZOOM = 0.16  # natural log of the ratio, either way
SHIFT = 0.16  # of half the side, either way: 4 px of 48
SHARE_SMALL, SMALL_PX = 0.2, (14, 36)  # share of the pictures, side to which they are shrunk
SHARE_BLURRED, BLUR_PX = 0.15, (0.4, 1.8)  # standard deviation
SHARE_DARK, DARK = 0.15, (0.1, 0.5)  # share of the light that is left
GAMMA = 0.4  # natural log, either way
SLOPE = 0.5  # most that light from one side adds or takes
SHARE_NOISY, NOISE = 0.25, 10.0  # grey levels
SHARE_HIDDEN, HIDDEN_PX = 0.25, (8, 20)  # side of what hides a part


def spoil(faces: Tensor, px: int, strength: float, generator: Generator) -> Tensor:
    """Training pictures of faces. `strength` in [0, 1] is a factor of how far they are moved and how many are spoilt.

    Shapes: (n, 48, 48) uint8 -> (n, px, px) float32 of whole grey levels.
    """
    pictures = _moved(faces.float()[:, None], px, strength, generator)
    pictures = _coarser(pictures, strength, generator)
    pictures = _lit(pictures, strength, generator)
    return _hidden(pictures, strength, generator)[:, 0]


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _moved(pictures: Tensor, px: int, strength: float, generator: Generator) -> Tensor:
    """Turned, mirrored, shifted and zoomed, in one interpolation."""
    n = len(pictures)
    turn = strength * _uniform(n, -TURN_DEG, TURN_DEG, generator) * (math.pi / 180)
    zoom = torch.exp(strength * _uniform(n, -ZOOM, ZOOM, generator))
    side = 1 - 2 * torch.randint(2, (n,), generator=generator).float()
    across, down = (strength * _uniform(n, -SHIFT, SHIFT, generator) for _ in range(2))
    cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
    theta = torch.stack([side * cos, -side * sin, across, sin, cos, down], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, [n, 1, px, px], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _coarser(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    """Some from afar, some out of focus. The degree is one for the batch, which is faster."""
    n, px = len(pictures), pictures.shape[-1]
    small = int(torch.randint(SMALL_PX[0], SMALL_PX[1] + 1, (1,), generator=generator))
    rows = torch.rand(n, generator=generator) < strength * SHARE_SMALL
    pictures[rows] = resized(pictures[rows], small, px)
    sigma = float(_uniform(1, *BLUR_PX, generator))
    rows = torch.rand(n, generator=generator) < strength * SHARE_BLURRED
    pictures[rows] = blurred(pictures[rows], sigma)
    return pictures


def _lit(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    """Other light: its colour curve, its side, its strength, and the noise of the sensor."""
    n, px = len(pictures), pictures.shape[-1]
    gamma = torch.exp(strength * _uniform(n, -GAMMA, GAMMA, generator))[:, None, None, None]
    angle, steep = _uniform(n, 0, 2 * math.pi, generator), strength * _uniform(n, 0, SLOPE, generator)
    ramp = torch.linspace(-1, 1, px)
    slope = (steep * torch.cos(angle))[:, None, None] * ramp + (steep * torch.sin(angle))[:, None, None] * ramp[:, None]
    dark = torch.rand(n, generator=generator) < strength * SHARE_DARK
    left = torch.where(dark, _uniform(n, *DARK, generator), torch.ones(n))
    noisy = torch.rand(n, generator=generator) < strength * SHARE_NOISY
    noise = torch.where(noisy, _uniform(n, 0, NOISE, generator), 0.0)
    light = 255 * (pictures / 255).clamp(0, 1) ** gamma * (1 + slope[:, None]) * left[:, None, None, None]
    grain = noise * left.sqrt()  # in the dark fewer photons arrive, and their noise falls by the root of that
    light = light + grain[:, None, None, None] * torch.randn(pictures.shape, generator=generator)
    return light.round().clamp(0, 255)


def _hidden(pictures: Tensor, strength: float, generator: Generator) -> Tensor:
    """A hand, hair or microphone before some: a rectangle of one grey."""
    n, px = len(pictures), pictures.shape[-1]
    height, width = _uniform(n, *HIDDEN_PX, generator), _uniform(n, *HIDDEN_PX, generator)
    x, y = _uniform(n, 0, px, generator), _uniform(n, 0, px, generator)
    at = torch.arange(px) + 0.5
    inside = (at - y[:, None]).abs()[:, :, None] * 2 < height[:, None, None]
    inside = inside & ((at - x[:, None]).abs()[:, None, :] * 2 < width[:, None, None])
    inside = inside & (torch.rand(n, generator=generator) < strength * SHARE_HIDDEN)[:, None, None]
    grey = (pictures.mean((1, 2, 3)) * _uniform(n, 0.3, 1.5, generator)).clamp(0, 255).round()
    return torch.where(inside[:, None], grey[:, None, None, None], pictures)


def resized(pictures: Tensor, small: int, px: int) -> Tensor:
    """Shrunk to a side of `small` px and enlarged to `px`. Shapes: (n, 1, h, w) -> (n, 1, px, px)."""
    shrunk = F.interpolate(pictures, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(shrunk, size=(px, px), mode="bicubic", align_corners=False).clamp(0, 255)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Convolved with a Gaussian of `sigma` px. Shapes: (n, 1, h, w) -> the same."""
    reach = math.ceil(2.5 * sigma)
    weight = torch.exp(-((torch.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    weight = weight / weight.sum()
    padded = F.pad(pictures, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))


def _blur(faces: Tensor, _: Generator) -> Tensor:
    return blurred(faces, 1.5)


def _dark(faces: Tensor, generator: Generator) -> Tensor:
    return faces * 0.15 + 3.0 * torch.randn(faces.shape, generator=generator)


def _small(faces: Tensor, _: Generator) -> Tensor:
    return resized(faces, 24, faces.shape[-1])


def _tiny(faces: Tensor, _: Generator) -> Tensor:
    return resized(faces, 16, faces.shape[-1])


# Out of focus by 1.5 px of 48; 15 % of the light and noise of 3 levels; 24 px and 16 px wide, enlarged.
DEGRADATIONS: Mapping[str, Callable[[Tensor, Generator], Tensor]] = {
    "blur": _blur,
    "dark": _dark,
    "small": _small,
    "tiny": _tiny,
}


def degrade(faces: Tensor, names: tuple[str, ...]) -> Tensor:
    """The same pictures, seen under fixed conditions, one after the other. Shapes: (n, 48, 48) uint8 -> the same."""
    generator = Generator().manual_seed(0)
    pictures = faces.float()[:, None]
    for name in names:
        pictures = DEGRADATIONS[name](pictures, generator).round().clamp(0, 255)
    return pictures[:, 0].to(torch.uint8)
