"""The specimens of the simulated samples: what lies where, in µm, axes (z, y, x)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.ndimage

from napari_deconv import _phantoms as draw
from napari_deconv._phantoms import Floats

__all__ = ["bars_and_rosette", "beads", "cells"]

Shape = tuple[int, ...]


def beads(
    shape: Shape, spacing: Floats, diameter: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Scatter beads on a slightly tilted cover slip in the middle of the field.

    Most lie 2.4 µm or more apart and are about equally bright; one in ten is a doublet, one in ten
    is eight times as bright. Returned are points that fill the beads, in voxels, and their flux.
    """
    pitch = 3.4
    rows, columns = (np.arange(pitch / 2, width, pitch) for width in shape[1:] * spacing[1:])
    sites = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    sites += rng.uniform(-0.5, 0.5, sites.shape)
    height = 0.05 * (sites[:, 0] - sites[:, 0].mean()) + rng.normal(0, 0.1, len(sites))
    centres = np.column_stack([shape[0] // 2 * spacing[0] + height, sites])
    flux = rng.uniform(0.7, 1.3, len(centres))
    kind = rng.permutation(len(centres)) % 10
    flux[kind == 0] *= 8
    twins = centres[kind == 1] + (0.05, 0.25, 0.2)
    centres, flux = np.vstack([centres, twins]), np.append(flux, np.ones(len(twins)))
    ball = draw.ball_points(diameter / 2 / spacing, 200, rng)
    points = (centres / spacing)[:, None] + ball
    return points.reshape(-1, 3), np.repeat(flux / len(ball), len(ball))


def cells(shape: Shape, spacing: Floats, rng: np.random.Generator) -> Floats:
    """Grow three cells on a cover slip, one of them at the border."""
    middle = shape[0] * spacing[0] / 2
    places = np.array([[0.34, 0.36], [0.66, 0.68], [0.93, 0.20]]) * shape[1:] * spacing[1:]
    grains = scipy.ndimage.gaussian_filter(rng.normal(size=shape), 0.25 / spacing)
    chromatin = 0.06 * np.clip(1 + 0.7 * grains / grains.std(), 0.2, None)
    volume = np.zeros(shape)
    for place in places:
        foot = np.array([middle - 2.2, *place])
        radius = np.array([1.5, *rng.uniform(2.4, 3.2, 2)])
        nucleus = (foot + np.array([2.0, 0, 0])) / spacing
        volume += chromatin * draw.ellipsoid(shape, nucleus, radius / spacing)
        volume += _fibres(shape, spacing, foot, rng)
        volume += _spots(shape, spacing, foot, rng)
    return volume


def _ceiling(foot: Floats) -> Callable[[Floats], Floats]:
    """Height of a cell above its foot: a dome of 4.4 µm that thins out to 0.6 µm."""

    def height(position: Floats) -> Floats:
        distance = np.hypot(*(position - foot)[:, 1:].T)
        thickness: Floats = 0.6 + 3.8 * np.exp(-((distance / 5.0) ** 2))
        return thickness

    return height


def _fibres(shape: Shape, spacing: Floats, foot: Floats, rng: np.random.Generator) -> Floats:
    number, step = 45, 0.03
    angle = rng.uniform(0, 2 * np.pi, number)
    outward = np.column_stack([np.zeros(number), np.sin(angle), np.cos(angle)])
    start = foot + outward * rng.uniform(1.5, 4.5, (number, 1))
    start[:, 0] = rng.uniform(0.2, 3.5, number)
    aside = angle + rng.normal(0, 0.7, number)
    direction = step * np.column_stack([rng.normal(0, 0.05, number), np.sin(aside), np.cos(aside)])
    path = draw.filament_points(start, direction, 300, 0.003, _ceiling(foot), rng)
    path[..., 0] += foot[0]
    brightness = np.broadcast_to(rng.uniform(0.4, 1.0, number), path.shape[:2])
    lines = draw.deposit(shape, path.reshape(-1, 3) / spacing, brightness.ravel())
    bundles: Floats = scipy.ndimage.gaussian_filter(lines, (0.14, 0.07, 0.07) / spacing)
    return bundles


def _spots(shape: Shape, spacing: Floats, foot: Floats, rng: np.random.Generator) -> Floats:
    number = 40
    position = foot + rng.normal(0, (0, 3.5, 3.5), (number, 3))
    position[:, 0] = foot[0] + rng.uniform(0.1, 1, number) * _ceiling(foot)(position)
    ball = draw.ball_points(0.12 / spacing, 100, rng)
    points = (position / spacing)[:, None] + ball
    return draw.deposit(shape, points.reshape(-1, 3), 0.1)


def bars_and_rosette(shape: Shape, spacing: Floats) -> Floats:
    """Lay pairs of bars, ever closer, along x, y and z beside a rosette of twelve spokes."""
    centre = np.array(shape) // 2 * spacing
    volume = np.zeros(shape)

    def bar(low: tuple[float, float, float], high: tuple[float, float, float]) -> None:
        np.maximum(
            volume,
            draw.box(shape, (centre + low) / spacing, (centre + high) / spacing),
            out=volume,
        )

    width = 0.08
    for place, gap in zip((-4.4, -3.4, -2.5, -1.7), (0.32, 0.24, 0.18, 0.14), strict=True):
        for shift in (0.0, gap):
            bar((-0.3, -4.4, place + shift), (0.3, -0.6, place + shift + width))
            bar((-0.3, place + shift, 0.8), (0.3, place + shift + width, 4.6))
    for place, gap in zip((0.9, 1.9, 2.9, 3.9), (0.9, 0.7, 0.55, 0.45), strict=True):
        for shift in (-gap / 2, gap / 2):
            bar((shift - 0.06, place, -4.4), (shift + 0.06, place + 0.4, -0.8))
    star = draw.rosette(
        shape[1:], (centre[1:] + np.array([2.7, 2.8])) / spacing[1:], 2.0 / spacing[1], 12
    )
    thick = slice(shape[0] // 2 - 3, shape[0] // 2 + 4)
    np.maximum(volume[thick], star, out=volume[thick])
    return volume
