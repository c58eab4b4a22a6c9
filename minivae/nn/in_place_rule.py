"""The rule by which a layer with `inplace=True` overwrites its input: this is the one place that knows.

A class states what the rule rests on, where it is so:

    spare_output = True   the output is a buffer of its own, which its backward does not read
    is_chain = True       a container gives each module the output of the one before
"""

VERBS = ("forward", "backward", "update_output", "update_grad_input", "acc_grad_parameters")
OUTSIDE = object()  # what stands before a module that is looked at by itself


def connect(root):
    """Give each inplace layer inside a module its `overwrites`: the layer whose output it may overwrite, or None.

    It may if that output is spare and nobody else is given it.
    """
    waiting = [(root, OUTSIDE)]
    while waiting:
        module, before = waiting.pop()
        if getattr(module, "inplace", False) and before is not OUTSIDE:
            module.overwrites = before if before is not None and declares(before, "spare_output") else None
        chain = declares(module, "is_chain")
        for _, child in module.children():
            waiting.append((child, before if chain else None))
            before = _last(child)


def _last(module):
    """The layer whose output is that of a module, or None if there is none."""
    while module is not None and declares(module, "is_chain"):
        module = module[-1] if len(module) else None
    return module


def declares(module, name):
    """True if a class declares this of its verbs; a subclass with a verb of its own must declare it anew."""
    for cls in type(module).__mro__:
        if name in vars(cls):
            return vars(cls)[name]
        if any(verb in vars(cls) for verb in VERBS):
            return False
    return False
