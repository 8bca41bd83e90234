"""Sizes of tensor axes: integers, and integer expressions over named sizes such as the batch.

An expression is kept canonical, as a sum of integer multiples of products of atoms. An atom is a
symbol or a
floor division that does not divide out. Two expressions are equal exactly when their canonical
forms are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Symbol:
    """A size that is known when the program runs: the batch, or a named one such as T."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FloorDivision:
    numerator: Expression
    divisor: int

    def __str__(self) -> str:
        return f"({self.numerator}) // {self.divisor}"


Atom = Symbol | FloorDivision
Product = tuple[Atom, ...]


@dataclass(frozen=True)
class Expression:
    """A sum of ``coefficient * product``; the empty product is the constant term."""

    terms: tuple[tuple[Product, int], ...]

    def _combine(self, other: Dim, sign: int) -> Dim:
        total = dict(self.terms)
        for product, coefficient in _terms(other):
            total[product] = total.get(product, 0) + sign * coefficient
        return _canonical(total)

    def __add__(self, other: Dim) -> Dim:
        return self._combine(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return self._combine(other, -1)

    def __rsub__(self, other: int) -> Dim:
        return -1 * self + other

    def __mul__(self, other: Dim) -> Dim:
        total: dict[Product, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                product = tuple(sorted(left + right, key=str))
                total[product] = total.get(product, 0) + a * b
        return _canonical(total)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Dim:
        if divisor == 1:
            return self
        whole = {p: c // divisor for p, c in self.terms if c % divisor == 0}
        rest = {p: c for p, c in self.terms if c % divisor}
        # (k*d + r) // d = k + r // d: what divides leaves the atom, so equal sizes meet in one
        # form.
        constant = rest.get((), 0)
        if constant:
            whole[()] = whole.get((), 0) + constant // divisor
            rest[()] = constant % divisor
            if not rest[()]:
                del rest[()]
        if set(rest) <= {()}:
            return _canonical(whole)
        numerator = Expression(tuple(sorted(rest.items(), key=lambda term: str(term[0]))))
        atom: Product = (FloorDivision(numerator, divisor),)
        whole[atom] = whole.get(atom, 0) + 1
        return _canonical(whole)

    def __str__(self) -> str:
        text = ""
        for product, coefficient in sorted(self.terms, key=lambda t: (not t[0], str(t[0]))):
            factors = [str(atom) for atom in product]
            if abs(coefficient) != 1 or not product:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+"
            term = " * ".join(factors)
            text = f"{text} {sign} {term}" if text else ("-" + term if coefficient < 0 else term)
        return text


Dim = int | Expression


def symbol(name: str) -> Expression:
    return Expression((((Symbol(name),), 1),))


BATCH = symbol("batch")


def _terms(dim: Dim) -> tuple[tuple[Product, int], ...]:
    return (((), dim),) if isinstance(dim, int) else dim.terms


def _canonical(total: dict[Product, int]) -> Dim:
    kept = {product: coefficient for product, coefficient in total.items() if coefficient}
    if set(kept) <= {()}:
        return kept.get((), 0)
    return Expression(tuple(sorted(kept.items(), key=lambda term: str(term[0]))))


def is_static(dims: tuple[Dim, ...]) -> bool:
    """Whether every size is a plain integer."""
    return all(isinstance(dim, int) for dim in dims)


def product(dims: tuple[Dim, ...]) -> Dim:
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def format_shape(dims: tuple[Dim, ...]) -> str:
    """``(batch, 26, 26, 32)``, with the comma of a one-element tuple."""
    return f"({', '.join(map(str, dims))}{',' if len(dims) == 1 else ''})"


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> Dim:
    """The size with some symbols given; an integer if that leaves none."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for atoms, coefficient in dim.terms:
        factor: Dim = coefficient
        for atom in atoms:
            if isinstance(atom, Symbol):
                factor = factor * (sizes[atom.name] if atom.name in sizes else symbol(atom.name))
            else:
                factor = factor * (evaluate(atom.numerator, sizes) // atom.divisor)
        total = total + factor
    return total
