"""Base of the containers (torch/nn Container)."""

import reprlib
from collections.abc import MutableSequence
from contextlib import suppress
from operator import index
from typing import Self

from minivae.errors import MinivaeError, PlaceError, call_cure, several
from minivae.nn.checks import expect_initialized
from minivae.nn.module import Module


class Modules(MutableSequence):
    """The modules of a container as a list: a change of it is the container's, and keeps names and paths in step."""

    def __init__(self, container):
        self._container = container

    def __len__(self):
        return len(self._container)

    def __getitem__(self, number):
        return self._container[number]

    def __setitem__(self, number, module):
        if isinstance(number, slice):
            modules = list(self)
            modules[number] = several(self._container.title, "modules", module, "are modules in a list")
            self._container.modules = modules
            return
        pairs, place = self._container.unnumbered(), self._container._number(number)
        pairs[place] = pairs[place][0], module
        self._container.arrange(pairs)

    def __delitem__(self, number):
        numbers = range(len(self))[number] if isinstance(number, slice) else [self._container._number(number)]
        for each in sorted(numbers, reverse=True):
            self._container.remove(each)

    def insert(self, number, module):
        with suppress(TypeError):  # which the container explains
            number = slice(index(number), None).indices(len(self))[0]  # as a list takes numbers
        self._container.insert(module, number)

    def reverse(self):
        self._container.arrange(self._container.unnumbered()[::-1])

    def __eq__(self, other):
        return list(self) == list(other)

    def __repr__(self):
        return repr(list(self))


class Container(Module):
    """A module made of modules.  `modules` holds them in order; each is named by its number, from 0."""

    def __init__(self, *modules: Module):
        super().__init__()
        self._names: tuple = ()
        self._modules: tuple = ()
        for module in modules:
            self.add(module)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        """As that of a module.  ∂L/∂input is computed in any case: the modules inside need their share of it."""
        super().backward(input, grad_output, scale)
        return self.grad_input if need_grad_input else None

    @property
    def modules(self) -> Modules:
        return Modules(self)

    @modules.setter
    def modules(self, modules):
        names = {id(module): name for name, module in self.unnumbered()}
        listed = several(self.title, "modules", modules, "are modules in a list")
        self.arrange([(names.get(id(module)), module) for module in listed])

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each module in paths and in state_dict: the one given to `add`, or its number."""
        return self._names

    @names.setter
    def names(self, names):
        raise MinivaeError(f"{self.title}: a module is named when it comes in: add(module, name)")

    def add(self, module: Module, name: str | None = None) -> Self:
        """Append a module and return self; `name` stands for its number in paths and in state_dict."""
        return self.arrange([*self.unnumbered(), (name, module)])

    def insert(self, module: Module, number: int, name: str | None = None) -> Self:
        """Put a module in front of number `number`, and return self; those behind it are counted anew."""
        pairs = self.unnumbered()
        try:
            place = range(len(pairs) + 1).index(index(number))
        except (TypeError, ValueError) as error:
            raise MinivaeError(f"{self.title}: insert(module, number) takes a number from 0 to {len(pairs)}, got "
                               f"{reprlib.repr(number)}") from error
        pairs.insert(place, (name, module))
        return self.arrange(pairs)

    def remove(self, number: int | str = -1) -> Module:
        """Take a module out, the last one unless told otherwise, and return it; those behind it are counted anew."""
        pairs, module = self.unnumbered(), self.get(number)
        del pairs[self._number(number)]
        self.arrange(pairs)
        for path, each in module.named_modules():
            each.path = path
        return module

    def replace(self, function):
        self.arrange([(name, module.replace(function)) for name, module in self.children()])
        return super().replace(function)

    def get(self, number: int | str) -> Module:
        """The module of that number or name."""
        return self._modules[self._number(number)]

    def size(self) -> int:
        return len(self._modules)

    def children(self):
        return list(zip(self._names, self._modules))

    def __getitem__(self, number):
        return self._modules[number] if isinstance(number, slice) else self.get(number)

    def __len__(self):
        return len(self._modules)

    def _number(self, which):
        """The number of the module of that number, which may count from the end, or name."""
        try:
            return self.names.index(which) if isinstance(which, str) else range(len(self))[index(which)]
        except (IndexError, TypeError, ValueError) as error:
            raise PlaceError(f"{self.title}: there is no module {reprlib.repr(which)}; it has "
                             f"{', '.join(self.names) or 'none'}") from error

    def unnumbered(self) -> list[tuple[str | None, Module]]:
        """[(name, module), ...] with None for the names that are numbers."""
        expect_initialized(self)
        return [(None if name == str(k) else name, module) for k, (name, module) in enumerate(self.children())]

    def arrange(self, pairs: list[tuple[str | None, Module]]) -> Self:
        """Let these be the modules, and return self."""
        for _, module in pairs:
            if not isinstance(module, Module):
                of_list = f"; write {type(self).__name__}(*modules)" * isinstance(module, list | tuple)
                raise MinivaeError(f"{self.title}: expected a module, got {reprlib.repr(module)}"
                                   f"{of_list or call_cure(module, Module)}")
        names = [name or str(k) for k, (name, _) in enumerate(pairs)]
        for name in names:
            if not isinstance(name, str) or names.count(name) > 1 or "." in name:
                raise MinivaeError(f"{self.title}: the name {name!r} is taken, or has a dot; choose another")
        seen = {id(self)}
        for _, module in pairs:
            for each in module.list_modules():
                if id(each) in seen:
                    raise MinivaeError(f"{self.title}: {type(each).__name__} is in it already, and one module has one "
                                       "output buffer; add a clone(share=('weight', 'bias')) to use its parameters "
                                       "twice")
                seen.add(id(each))
        self._names, self._modules = tuple(names), tuple(module for _, module in pairs)
        for path, each in self.named_modules(self.path):
            each.path = path
        return self

    def tree(self, header: str, last: str) -> str:
        """Torch7's drawing of a container: one line for the flow, then one for each module."""
        lines = [f"{self.class_name} {{", "  " + header]
        for name, module in self.children():
            lines.append(f"  ({name}): " + repr(module).replace("\n", "\n  "))
        return "\n".join(lines + [last])
