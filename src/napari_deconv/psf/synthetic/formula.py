"""A PSF written down as a formula, evaluated without ever running it as Python."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.special

from napari_deconv._checks import check_number
from napari_deconv.errors import DeconvError

__all__ = ["Formula", "evaluate"]

_Value = Any  # a float64 array or scalar, or the truth of a comparison

_OPERATORS: dict[type[ast.AST], Callable[..., _Value]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide,
    ast.Pow: np.power, ast.Mod: np.mod, ast.USub: np.negative, ast.UAdd: np.positive,
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
}  # fmt: skip
_FUNCTIONS: dict[str, tuple[Callable[..., _Value], int]] = {
    "sqrt": (np.sqrt, 1), "exp": (np.exp, 1), "log": (np.log, 1), "abs": (np.abs, 1),
    "sin": (np.sin, 1), "cos": (np.cos, 1), "tan": (np.tan, 1), "atan2": (np.arctan2, 2),
    "cosh": (np.cosh, 1), "tanh": (np.tanh, 1), "erf": (scipy.special.erf, 1),
    "j0": (scipy.special.j0, 1), "j1": (scipy.special.j1, 1), "hypot": (np.hypot, 2),
    "min": (np.minimum, 2), "max": (np.maximum, 2), "where": (np.where, 3),
}  # fmt: skip
_CONSTANTS = {"pi": math.pi, "e": math.e}
_AXES = ("x", "y", "z")

_LONGEST = 1000

# Gauss–Legendre points a voxel and axis.
_POINTS = 3


@dataclass(frozen=True)
class Formula:
    """A PSF written as a formula of x, y and z, the distance from the centre in µm.

    Attributes
    ----------
    formula : str
        For example ``2**(-(x**2 + y**2)/(a/2)**2)``.
    parameters : dict
        Value of each other name in it.
    """

    formula: str
    parameters: dict[str, float]

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any], spacing: tuple[float, ...]) -> Self:
        """Check what a user gave.

        Raises
        ------
        DeconvError
            If the formula is missing, or not understood with these parameters.
        """
        formula, parameters = given.get("formula"), given.get("parameters", {})
        if not isinstance(formula, str):
            raise DeconvError(
                f"formula={formula!r}: expected a text with x, y and z in µm, for example "
                "formula='2**(-(x**2 + y**2)/(a/2)**2)' with parameters={'a': 0.25}."
            )
        if not isinstance(parameters, Mapping):
            raise DeconvError(f"parameters={parameters!r}: expected names and numbers, {{'a': 1}}.")
        values = {name: check_number(value, str(name)) for name, value in parameters.items()}
        taken = [name for name in values if name in (*_AXES, *_CONSTANTS, *_FUNCTIONS)]
        if taken:
            raise DeconvError(f"The parameter {taken[0]!r} has a meaning already: rename it.")
        unused = values.keys() - _names(_parse(formula), formula, values)
        if unused:
            raise DeconvError(f"The formula “{formula}” has no {', '.join(sorted(unused))}.")
        return cls(formula, values)

    def sample(
        self, shape: tuple[int, ...], spacing: tuple[float, ...], integrate: bool
    ) -> npt.NDArray[np.float32]:
        """Evaluate the formula at the voxels' centres, or at 3 Gauss points a voxel and axis.

        Parameters
        ----------
        shape : tuple of int
            Voxels; x = y = z = 0 at the centre of voxel n // 2.
        spacing : tuple of float
            Voxel size, µm.
        integrate : bool
            Integrate over the voxels.

        Returns
        -------
        ndarray of float32
            Of the given shape, the largest value 1.

        Raises
        ------
        DeconvError
            If a value is not finite or negative, or none is above 0.
        """
        nodes, weights = scipy.special.roots_legendre(_POINTS if integrate else 1)
        axes = [
            (np.arange(n) - n // 2) * step + nodes[:, np.newaxis] * step / 2
            for n, step in zip(shape, spacing, strict=True)
        ]
        tree = _parse(self.formula)
        volume = np.zeros((1,) * (3 - len(shape)) + shape)
        for point in product(range(nodes.size), repeat=len(shape)):
            y, x = (axis[i] for axis, i in zip(axes[-2:], point[-2:], strict=True))
            z = axes[0][point[0]] if len(shape) == 3 else np.zeros(1)
            weight = math.prod(weights[i] / 2 for i in point)
            for plane, depth in zip(volume, z, strict=True):
                names = {"x": x, "y": y[:, np.newaxis], "z": depth}
                plane += weight * self._plane(tree, names, plane.shape)
        peak = volume.max()
        if not peak > 0:
            raise DeconvError(f"The formula “{self.formula}” is 0 everywhere in the window.")
        volume /= peak
        data: npt.NDArray[np.float32] = volume.astype(np.float32).reshape(shape)
        return data

    def _plane(
        self, tree: ast.expr, names: Mapping[str, Any], shape: tuple[int, ...]
    ) -> npt.NDArray[np.float64]:
        values = evaluate(tree, self.formula, {**names, **self.parameters})
        plane = np.broadcast_to(np.asarray(values, dtype=float), shape)
        # Beyond this, sums over a volume overflow.
        bad = ~(np.abs(plane) < 1e290) | (plane < 0)
        if not bad.any():
            return plane
        y, x = np.unravel_index(int(np.argmax(bad)), shape)
        value = plane[y, x]
        where = f"x={names['x'][x]:.3g}, y={names['y'][y, 0]:.3g}, z={float(names['z']):.3g} µm"
        negative = value < 0 and math.isfinite(value)
        kind = "negative" if negative else "no finite number"
        advice = (
            "max(…, 0) cuts off what is below" if negative else "where(…, …, …) replaces others"
        )
        raise DeconvError(
            f"The formula “{self.formula}” gives {value:.3g} at {where}, which is {kind}: expected "
            f"numbers of at least 0 everywhere. {advice}."
        )


def evaluate(tree: ast.expr, formula: str, names: Mapping[str, Any]) -> _Value:
    """Evaluate a formula that has been parsed.

    Parameters
    ----------
    tree : ast.expr
        The formula.
    formula : str
        Its text, for messages.
    names : mapping
        Values of its names, float64 arrays or numbers.

    Returns
    -------
    ndarray, float or bool
        NaN and infinity where it is not defined.

    Raises
    ------
    DeconvError
        If it has anything but numbers, these names, arithmetic, comparisons and functions.
    """

    def value(node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=bool() | int() | float() as number):
                return _number(number, node, formula)
            case ast.Name(id=name):
                return _look_up(name, node, formula, names)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](_real(value(operand)))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](_real(value(left)), _real(value(right)))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return _function(name, arguments, node, formula)(*map(value, arguments))
        raise _error(node, formula, "is not understood")

    with np.errstate(all="ignore"):
        return value(tree)


def _parse(formula: str) -> ast.expr:
    """Read a formula, or raise `DeconvError` with the place where it cannot be read."""
    if len(formula) > _LONGEST:
        raise DeconvError(f"The formula has {len(formula)} characters: expected up to {_LONGEST}.")
    try:
        return ast.parse(formula.strip(), mode="eval").body
    except SyntaxError as error:
        # No offset is the end.
        place = error.offset or len(formula.strip()) + 1
        rest = formula.strip()[place - 1 :][:12]
        where = f"at “{rest}”" if rest else "at its end"
        raise DeconvError(
            f"The formula “{formula}” cannot be read, character {place}, {where}: {error.msg}."
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise DeconvError(f"The formula “{formula[:40]}…” cannot be read.") from None


def _names(tree: ast.expr, formula: str, parameters: Mapping[str, float]) -> set[str]:
    """Collect the names in a formula, having tried it at one point."""
    try:
        evaluate(tree, formula, {**dict.fromkeys(_AXES, 0.0), **parameters})
    except RecursionError:
        raise DeconvError(f"The formula “{formula[:40]}…” is nested too deeply.") from None
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _number(number: float, node: ast.expr, formula: str) -> np.float64:
    try:
        return np.float64(number)
    except OverflowError:
        raise _error(node, formula, "is too large a number") from None


def _look_up(name: str, node: ast.expr, formula: str, names: Mapping[str, Any]) -> _Value:
    found = names.get(name, _CONSTANTS.get(name))
    if found is None:
        given = ", ".join([*names, *_CONSTANTS])
        raise _error(node, formula, f"is not known: there are {given}; or give it a value")
    return _real(found)


def _function(
    name: str, arguments: list[ast.expr], node: ast.expr, formula: str
) -> Callable[..., _Value]:
    if name not in _FUNCTIONS:
        raise _error(node, formula, f"is no function: there are {', '.join(_FUNCTIONS)}")
    function, count = _FUNCTIONS[name]
    if len(arguments) != count:
        raise _error(node, formula, f"has {len(arguments)} arguments: {name} takes {count}")
    return function


def _real(value: _Value) -> _Value:
    """Count the truth of a comparison as 1 and 0."""
    return np.asarray(value, dtype=float)


def _error(node: ast.expr, formula: str, problem: str) -> DeconvError:
    part = ast.get_source_segment(formula.strip(), node) or formula
    powers = " Write ** for powers." if "^" in part else ""
    return DeconvError(
        f"The formula “{formula}” is not understood: “{part}”, character "
        f"{node.col_offset + 1}, {problem}.{powers}"
    )
