"""A debugger that looks at this thread: it is to see each step that it can stop in."""

import sys

# Packages whose trace functions count lines and stop nowhere; Hypothesis counts those that a failing example runs.
COUNTERS = ("coverage", "trace", "hypothesis", "line_profiler")


def looking() -> bool:
    """Whether a trace function is set, by a debugger or somebody's own; one that measures coverage is none."""
    monitoring = getattr(sys, "monitoring", None)  # since Python 3.12
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    tracer = sys.gettrace()
    spec = getattr(tracer, "__globals__", {}).get("__spec__")  # __module__ is "__main__" under `python -m trace`
    module = spec.name if spec else type(tracer).__module__
    return tracer is not None and module.partition(".")[0].lstrip("_") not in COUNTERS
