"""What the containers have in common (torch/nn Container)."""

from minivae.errors import MinivaeError
from minivae.nn.module import Module


class Container(Module):
    """A module made of modules.  `modules` holds them in order; each is named by its number, from 0."""

    def __init__(self, *modules):
        super().__init__()
        self.modules = []
        self.names = []
        for module in modules:
            self.add(module)

    def add(self, module, name=None):
        """Append a module and return self; `name` stands for its number in paths and in state_dict."""
        if not isinstance(module, Module):
            raise MinivaeError(f"{self.title}: add expects a module, got {module!r}; write Tanh(), not Tanh")
        self._expect_room_for(module)
        mine = {id(each) for each in self.list_modules()}
        if any(id(each) in mine for each in module.list_modules()):
            raise MinivaeError(f"{self.title}: {type(module).__name__} is in it already, and one module has one output "
                               "buffer; add a clone(share=('weight', 'bias')) to use its parameters twice")
        name = name or str(len(self.names))
        if name in self.names or "." in name:
            raise MinivaeError(f"{self.title}: the name {name!r} is taken, or has a dot; choose another")
        self.modules.append(module)
        self.names.append(name)
        for path, each in self.named_modules(self.path):
            each.path = path
        return self

    def feeds_next(self):
        """The module whose output the next one to be added would get, or None for the container's input."""
        return None

    def _expect_room_for(self, module):
        """An inplace module may only overwrite a buffer that nobody else owns or reads."""
        before = self.feeds_next()
        if getattr(module, "inplace", False) and (before is None or not before.spare_output):
            raise MinivaeError(f"{self.title}: {module.title} works in place, but what comes in "
                               + (f"is still needed by {before.title}" if before else "belongs to the caller")
                               + "; use inplace=False here")

    def children(self):
        return list(zip(self.names, self.modules))

    def __getitem__(self, number):
        return self.modules[number]

    def __len__(self):
        return len(self.modules)

    def tree(self, header, last):
        """Torch7's drawing of a container: one line for the flow, then one for each module."""
        lines = [f"nn.{type(self).__name__} {{", "  " + header]
        for name, module in self.children():
            lines.append(f"  ({name}): " + repr(module).replace("\n", "\n  "))
        return "\n".join(lines + [last])
