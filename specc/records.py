"""Dataclasses that are quick to define, for modules that every command loads.

``dataclasses.dataclass`` compiles up to seven methods for each class, which for eighty classes
takes a fifth of the time of ``specc check``. Here only ``__init__`` is compiled; comparison, hash
and text are functions that all classes share. Type checkers see the real decorator, and it is they
who keep frozen instances from being changed. Kinds of attributes, which plug-ins may subclass, stay
frozen dataclasses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from operator import attrgetter

    def dataclass(cls=None, /, *, frozen=False, eq=True, kw_only=False):
        """The class with ``__init__`` and, if it has none of its own, ``__repr__``, ``__eq__`` and
        ``__hash__``."""

        def define(cls):
            own = vars(cls).keys() & {"__repr__", "__eq__", "__hash__"}
            cls.__doc__ = cls.__doc__ or cls.__name__  # else a signature is composed for it
            made = dataclasses.dataclass(repr=False, eq=False, kw_only=kw_only)(cls)
            names = [each.name for each in dataclasses.fields(made) if each.compare]
            made._compared = staticmethod(attrgetter(*names) if names else lambda each: ())
            methods = {"__repr__": _text}
            if eq:
                methods |= {"__eq__": _equal, "__hash__": _hash if frozen else None}
            for name, method in methods.items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return define if cls is None else define(cls)

    def _equal(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._compared(self) == other._compared(other)

    def _hash(self):
        return hash(self._compared(self))

    def _text(self):
        shown = [each.name for each in dataclasses.fields(self) if each.repr]
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{self.__class__.__qualname__}({values})"
